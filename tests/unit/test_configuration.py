"""What Celery is told, and what a worker refuses to start with."""

from __future__ import annotations

import pytest

from uploadmill.errors import InvalidSettings
from uploadmill.settings import Settings
from uploadmill.worker.configuration import MARGIN, celery_settings, hard_limit
from uploadmill.worker.wiring import UploadmillApp

SLOW = {"step": "validate", "types": ["text/plain"], "time_limit": 3000}


def settings(**tables) -> Settings:
    return Settings.model_validate(tables)


def test_the_hard_limit_is_the_longest_pipeline_and_a_margin():
    # Given one that takes longer than those that come along: pin 300, validate 1200, commit 300
    steps = [{**SLOW, "time_limit": 1200}]
    given = settings(pipelines={"slow": {"steps": steps}}, worker={"visibility_timeout": 4 * 3600})

    assert 300 + 1200 + 300 + MARGIN == hard_limit(given)
    assert hard_limit(given) == celery_settings(given)["task_time_limit"]


def test_without_a_scanner_a_pipeline_takes_less():
    assert hard_limit(settings(scanner={"required": False})) == hard_limit(settings()) - 120


def test_a_hard_limit_above_half_the_visibility_timeout_is_refused_by_name():
    given = settings(pipelines={"slow": {"steps": [SLOW]}})

    with pytest.raises(InvalidSettings, match=r"'slow' may take 3600 s.*visibility_timeout"):
        celery_settings(given)


def test_exactly_half_of_it_is_taken():
    limit = hard_limit(settings())

    assert limit == hard_limit(settings(worker={"visibility_timeout": 2 * limit}))
    with pytest.raises(InvalidSettings):
        hard_limit(settings(worker={"visibility_timeout": 2 * limit - 1}))


def test_the_configured_broker_wins_over_celery_s_own_variables(monkeypatch):
    for name in ("CELERY_BROKER_URL", "CELERY_RESULT_BACKEND"):
        monkeypatch.setenv(name, "redis://elsewhere.example.com:1/0")
    app = UploadmillApp()
    app.add_defaults(lambda: celery_settings(settings(broker_url="redis://127.0.0.1:6390/4")))

    for connect in (app.connection_for_read, app.connection_for_write):
        with connect() as connection:
            found = (connection.hostname, connection.port, connection.virtual_host.strip("/"))
        assert ("127.0.0.1", 6390, "4") == found
    assert "DisabledBackend" == type(app.backend).__name__
