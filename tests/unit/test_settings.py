"""The configuration: where it comes from, and what is said about mistakes."""

from __future__ import annotations

import json

import pytest

from uploadmill.errors import InvalidSettings, UnknownPipeline
from uploadmill.settings import Settings


@pytest.fixture(autouse=True)
def nowhere(tmp_path, monkeypatch):
    """A working folder without a settings file."""
    monkeypatch.chdir(tmp_path)


def mistakes(**environ: str) -> str:
    with pytest.raises(InvalidSettings) as caught:
        Settings.load(environ)
    return str(caught.value)


def test_without_file_and_variables_the_defaults_hold():
    settings = Settings.load({})
    assert "redis://127.0.0.1:6379/0" == settings.redis_url == settings.broker_url
    assert 30.0 == settings.ledger.lease
    assert 10.0 == settings.ledger.renew
    assert ("avatar", "document", "photo") == settings.pipeline_names


def test_a_file_is_read_and_a_variable_wins(tmp_path):
    (tmp_path / "uploadmill.toml").write_text(
        'prefix = "a"\n[ledger]\nlease = 5\ncrash_max = 2\n[primary]\nurl = "s3://bucket"\n'
    )
    settings = Settings.load({"UPLOADMILL_LEDGER__LEASE": "7"})
    assert ("a", 7.0, 2, "s3://bucket") == (
        settings.prefix,
        settings.ledger.lease,
        settings.ledger.crash_max,
        settings.primary.url,
    )


def test_the_ecosystems_variables_are_honoured_and_ours_win():
    given = {"REDIS_URL": "redis://there/1", "CELERY_BROKER_URL": "amqp://there"}
    settings = Settings.load(given)
    assert ("redis://there/1", "amqp://there") == (settings.redis_url, settings.broker_url)
    ours = Settings.load({**given, "UPLOADMILL_REDIS_URL": "redis://here/2"})
    assert "redis://here/2" == ours.redis_url


def test_a_named_file_must_be_there(tmp_path):
    assert "there is no file" in mistakes(UPLOADMILL_CONFIG=str(tmp_path / "none.toml"))


def test_a_file_that_is_no_toml_is_named(tmp_path):
    (tmp_path / "uploadmill.toml").write_text("lease = = 5")
    assert "uploadmill.toml" in mistakes()


def test_all_mistakes_come_at_once_with_alternatives(tmp_path):
    (tmp_path / "uploadmill.toml").write_text('prefx = "a"\n[ledger]\nlaese = 5\n')
    text = mistakes(
        UPLOADMILL_PRIMRAY__URL="x",
        UPLOADMILL_LEDGER__CRASH_MAX="many",
        UPLOADMILL_SCANNER__ADDRESS="clamd",
        UPLOADMILL_PIPELINES="{not json",
    )
    assert "UPLOADMILL_PRIMRAY__URL: no such setting; did you mean UPLOADMILL_PRIMARY__URL" in text
    assert "prefx: no such setting; did you mean prefix" in text
    assert "ledger.laese: no such setting; did you mean lease" in text
    assert "ledger.crash_max: " in text
    assert "scanner.address: " in text
    assert "UPLOADMILL_PIPELINES: not valid JSON" in text


def test_variables_of_others_are_not_ours():
    assert Settings.load({"UPLOADMILLER": "x", "PATH": "y"}) == Settings.load({})


@pytest.mark.parametrize(
    "url", ["s3://key:topsecret@bucket", "https://topsecret@host", "s3://a:topsecret@b/c"]
)
def test_credentials_in_a_url_are_refused_and_not_repeated(url):
    text = mistakes(UPLOADMILL_PRIMARY__URL=url)
    assert "credentials do not belong in a URL" in text
    assert "topsecret" not in text


def test_half_a_pair_of_credentials_is_a_mistake():
    assert "go together" in mistakes(
        UPLOADMILL_PRIMARY__URL="s3://b", UPLOADMILL_PRIMARY__ACCESS_KEY="a"
    )


def test_a_secret_is_never_shown():
    settings = Settings.load(
        {
            "UPLOADMILL_PRIMARY__URL": "s3://b",
            "UPLOADMILL_PRIMARY__ACCESS_KEY": "me",
            "UPLOADMILL_PRIMARY__SECRET_KEY": "topsecret",
        }
    )
    assert "topsecret" not in repr(settings) + settings.model_dump_json()
    assert settings.primary.secret_key is not None
    assert "topsecret" == settings.primary.secret_key.get_secret_value()


def test_settings_cannot_be_changed():
    with pytest.raises(ValueError, match="frozen"):
        Settings.load({}).prefix = "b"  # type: ignore[misc]


@pytest.mark.parametrize(
    ("low", "high"),
    [
        ("stage_fresh", "stage_grace"),
        ("deadline", "workspace_max"),
        ("workspace_max", "tombstone_keep"),
        ("result_ttl", "tombstone_keep"),
        ("keep_failed", "tombstone_keep"),
        ("keep_rejected", "tombstone_keep"),
    ],
)
def test_times_that_the_protocol_rests_on_must_be_in_order(low, high):
    at = getattr(Settings.load({}).ledger, high)
    text = mistakes(**{f"UPLOADMILL_LEDGER__{low.upper()}": str(at)})
    assert f"{low} ({at:g} s) must be below {high} ({at:g} s)" in text


def test_a_pipeline_of_ones_own_stands_beside_the_shipped_ones():
    own = {"receipts": {"steps": ["validate", {"step": "resize", "small": "64x64"}]}}
    settings = Settings.load({"UPLOADMILL_PIPELINES": json.dumps(own)})
    first, second = settings.steps_of("receipts")
    assert ("validate", {}) == (first.name, first.options)
    assert ("resize", {"small": "64x64"}) == (second.name, second.options)
    with pytest.raises(UnknownPipeline, match="avatar, document, photo, receipts"):
        settings.steps_of("reciepts")


@pytest.mark.parametrize(
    ("role", "allowed", "problem"),
    [
        ("STAGING", ["jpg"], "staging.allowed_extensions: what lies there has no extension"),
        ("QUARANTINE", ["jpg"], "quarantine.allowed_extensions: what lies there has no"),
        ("PRIMARY", ["jpg"], "primary.allowed_extensions: add json"),
        ("SECONDARY", [".JPG"], "secondary.allowed_extensions: add json"),
    ],
)
def test_extensions_that_uploadmill_needs_cannot_be_forbidden(role, allowed, problem):
    variables = {f"UPLOADMILL_{role}__ALLOWED_EXTENSIONS": json.dumps(allowed)}
    variables[f"UPLOADMILL_{role}__URL"] = "memory:"

    with pytest.raises(InvalidSettings) as caught:
        Settings.load(variables)

    assert problem in str(caught.value)


def test_limits_of_an_output_store_come_from_the_settings():
    variables = {
        "UPLOADMILL_PRIMARY__URL": "memory:",
        "UPLOADMILL_PRIMARY__ALLOWED_EXTENSIONS": '["jpg", "json"]',
        "UPLOADMILL_PRIMARY__MAX_FILE_SIZE": "1000",
    }

    primary = Settings.load(variables).primary

    assert (("jpg", "json"), 1000) == (primary.allowed_extensions, primary.max_file_size)
