"""Jobs from the command line, on a real ledger and real stores, without a worker."""

from __future__ import annotations

import json
import logging
import os
from pathlib import Path

import pytest
import redis
from click.testing import CliRunner, Result

from uploadmill.worker.cli import main
from uploadmill.worker.embedded.environment import toml


@pytest.fixture
def job(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, redis_url: str) -> str:
    """The id of an accepted job that nobody works on."""
    for name in [*os.environ]:
        if name.startswith("UPLOADMILL_") or name in ("REDIS_URL", "CELERY_BROKER_URL"):
            monkeypatch.delenv(name)
    monkeypatch.chdir(tmp_path)
    stores = {
        role: {"url": (tmp_path / role).as_uri()}
        for role in ("staging", "primary", "secondary", "quarantine")
    }
    Path("uploadmill.toml").write_text(toml({"redis_url": redis_url, **stores}))
    Path("note.txt").write_text("a note")
    submitted = _run("submit", "note.txt", "--pipeline", "document", "--json")
    assert 0 == submitted.exit_code, submitted.output
    return json.loads(submitted.stdout)["job_id"]


@pytest.fixture(autouse=True)
def _logging_as_it_was():
    """``recover`` sets up the log of its own process."""
    logger = logging.getLogger("uploadmill")
    handlers, level = logger.handlers, logger.level
    yield
    logger.handlers, logger.level = handlers, level


def test_the_status_of_an_open_job_names_its_step(job):
    assert f"{job}: accepted, at pin\n" == _run("status", job).stdout
    assert {"job_id": job, "state": "accepted", "step": "pin"} == _json("status", job)


def test_a_cancelled_job_has_ended(job):
    assert f"{job}: cancelled\n" == _run("cancel", job).stdout

    again = _run("cancel", job, "--json")
    assert (0, "cancelled") == (again.exit_code, json.loads(again.stdout)["state"])
    assert "cancelled" == _json("status", job)["state"]
    assert "note.txt: cancelled" in _run("status", job).stdout


def test_it_is_too_late_to_cancel_what_has_ended_otherwise(job, monkeypatch):
    from uploadmill.job import JobState  # noqa: PLC0415 - of this test alone
    from uploadmill.producer import Uploads  # noqa: PLC0415 - the same

    ended = Uploads.cancel

    def stored(self, job_id):
        return ended(self, job_id).model_copy(update={"state": JobState.STORED})

    monkeypatch.setattr(Uploads, "cancel", stored)

    result = _run("cancel", job)

    assert f"{job}: too late, it had ended as stored\n" == result.stdout
    assert 1 == result.exit_code


@pytest.mark.parametrize("command", ["status", "cancel"])
def test_a_job_that_nobody_knows_is_an_error(job, command):
    result = _run(command, "0190a000-0000-7000-8000-000000000000")

    assert 1 == result.exit_code
    assert "Error: no job has the id '0190a000-0000-7000-8000-000000000000'\n" == result.stderr


def test_recover_brings_back_what_the_ledger_forgot(job, redis_url):
    # Given a ledger that came back empty
    with redis.Redis.from_url(redis_url) as client:
        client.flushall()

    # When it is recovered
    result = _run("recover")

    # Then the job is open again, and the log says so
    assert 0 == result.exit_code, result.output
    assert "seen=1 reopened=1 concluded=0" in result.stderr
    with redis.Redis.from_url(redis_url) as client:
        assert client.exists(f"um:job:{job}")


def test_recover_without_a_ledger_says_so(job):
    config = Path("uploadmill.toml")
    lines = [line for line in config.read_text().splitlines() if "redis_url" not in line]
    config.write_text("\n".join(['redis_url = "redis://:s3cret@127.0.0.1:1/0"', *lines]))

    result = _run("recover")

    assert 1 == result.exit_code
    assert "Redis" in result.output
    assert "ConnectionError" in result.output
    assert "s3cret" not in result.output


def _run(*arguments: str) -> Result:
    return CliRunner().invoke(main, arguments)


def _json(*arguments: str) -> dict:
    return json.loads(_run(*arguments, "--json").stdout)
