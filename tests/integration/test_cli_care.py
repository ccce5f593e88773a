"""Looking after jobs from the command line: stats, failed, replay, gc, on real servers."""

from __future__ import annotations

import json
import os
import time
from contextlib import closing
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from uploadmill.backends.ledger import proposals
from uploadmill.backends.ledger.ledger import Ledger
from uploadmill.backends.ledger.settle import Settler
from uploadmill.backends.storage import stores_from
from uploadmill.ids import new_job_id
from uploadmill.job import ErrorData, JobState
from uploadmill.settings import Settings
from uploadmill.worker.cli import main

pytestmark = pytest.mark.usefixtures("logging_as_it_was")


def submitted() -> str:
    result = _run("submit", "note.txt", "--pipeline", "document", "--json")
    assert 0 == result.exit_code, result.output
    return json.loads(result.stdout)["job_id"]


def failed(settings: Settings, code: str = "step_failed") -> str:
    """A job that failed; its bytes are kept."""
    job_id = submitted()
    with closing(Ledger(settings.redis_url, settings.ledger)) as ledger:
        record = ledger.read(job_id)
        error = ErrorData(code=code, step="scan", message="it broke, says the test")
        constants = settings.ledger
        end = proposals.ended_badly(record.job, JobState.FAILED, constants, error, record)
        Settler(ledger, stores_from(settings)).settle(end)
    return job_id


def test_stats_count_what_is_open_and_what_ended_how(settings):
    submitted()
    failed(settings)

    found = _json("stats")

    assert (1, 1, 0, 2) == (found["open"], found["accepted"], found["running"], found["taken"])
    assert {"failed": 1} == found["ended"]
    assert {"step_failed": 1} == found["failed"]
    assert 0 <= found["oldest_open"] < 60
    shown = _run("stats").output
    assert "failed step_failed" in shown
    assert "oldest open" in shown


def test_stats_of_an_empty_ledger(settings):
    assert _json("stats")["oldest_open"] is None
    assert "oldest open  none" in _run("stats").output


def test_replayed_jobs_run_again_and_the_old_ones_stay_as_they_are(settings):
    old, other = failed(settings), failed(settings)

    result = _run("replay", old, other, "--json")

    assert 0 == result.exit_code, result.output
    lines = [json.loads(line) for line in result.stdout.splitlines()]
    assert [old, other] == [line["job_id"] for line in lines]
    assert ["accepted"] * 2 == [line["state"] for line in lines]
    assert "failed" == _json("status", old)["state"]
    assert "accepted" == _json("status", lines[0]["replay"])["state"]
    assert f"{old}: replayed as {lines[0]['replay']}\n" == _run("replay", old).stdout


def test_what_cannot_be_replayed_is_said_and_does_not_stop_the_others(settings):
    unknown, still_open, old = new_job_id(), submitted(), failed(settings)

    result = _run("replay", unknown, still_open, old)

    assert 1 == result.exit_code
    first, second, third = result.stdout.splitlines()
    assert f"{unknown}: job_not_found" in first
    assert f"{still_open}: job_not_ended" in second
    assert f"{old}: replayed as" in third


@pytest.mark.parametrize(
    "arguments", [(), ("--all", "x"), ("--code", "poison"), ("--code", "poison", "x")]
)
def test_replay_wants_jobs_or_all_of_them(settings, arguments):
    assert 2 == _run("replay", *arguments).exit_code


def test_failed_lists_the_latest_first_and_those_of_one_code_alone(settings):
    first = failed(settings)
    time.sleep(0.01)
    second = failed(settings, "poison")

    listed = [json.loads(line) for line in _run("failed", "--json").stdout.splitlines()]

    assert [second, first] == [line["job_id"] for line in listed]
    assert ["poison", "step_failed"] == [line["code"] for line in listed]
    assert all(line["keep_until"].endswith("Z") for line in listed)
    shown = _run("failed", "--code", "poison").stdout
    assert second in shown
    assert "it broke, says the test" in shown
    assert first not in shown
    assert "No job failed with quota.\n" == _run("failed", "--code", "quota").stdout


def test_all_that_failed_with_one_code_are_replayed(settings):
    failed(settings)
    poison = {failed(settings, "poison") for _ in range(2)}

    result = _run("replay", "--all", "--code", "poison", "--json")

    assert 0 == result.exit_code, result.output
    assert poison == {json.loads(line)["job_id"] for line in result.stdout.splitlines()}
    assert 3 == len(_run("replay", "--all", "--json").stdout.splitlines())
    assert "No job failed with quota.\n" == _run("replay", "--all", "--code", "quota").stdout


def leftovers(settings: Settings) -> list[Path]:
    """Staged bytes that no job needs, and a workspace of no job, both long forgotten."""
    made = []
    for folder in (
        Path("staging", "uploads", new_job_id()),
        settings.worker.workspace / "jobs" / new_job_id() / "0123456789abcdef",
    ):
        folder.mkdir(parents=True)
        path = folder / "0123456789abcdef"
        path.write_bytes(b"x" * 5000)
        then = time.time() - 2 * 86_400
        for each in (path, folder):
            os.utime(each, (then, then))
        made.append(path)
    return made


def test_gc_shows_what_would_go_and_deletes_nothing(settings):
    made = leftovers(settings)

    shown = _run("gc")

    assert 0 == shown.exit_code, shown.output
    assert "uploaded bytes that no job needs" in shown.output
    assert "workspaces" in shown.output
    assert "Nothing was deleted; --delete does." in shown.output
    assert _run("gc", "--dry-run").output == shown.output
    assert all(path.exists() for path in made)


def test_gc_deletes_when_told_to_and_keeps_what_is_needed(settings):
    made, job = leftovers(settings), submitted()

    found = json.loads(_run("gc", "--delete", "--json").stdout)

    assert not found["dry_run"]
    assert (1, 5000) == (found["piles"]["staged"]["count"], found["piles"]["staged"]["size"])
    assert 1 == found["workspaces"]["needless"]
    assert not any(path.exists() for path in made)
    assert "accepted" == _json("status", job)["state"]
    assert "Nothing to collect.\n" == _run("gc", "--delete").stdout


@pytest.mark.parametrize("arguments", [("--dry-run", "--delete"), ("--orphans",)])
def test_gc_wants_to_be_understood(settings, arguments):
    assert 2 == _run("gc", *arguments).exit_code


def test_a_dry_run_of_recover_tells_and_changes_nothing(settings):
    job = submitted()
    with closing(Ledger(settings.redis_url, settings.ledger)) as ledger:
        ledger.redis.flushall()

        told = _run("recover", "--dry-run")

        assert 0 == told.exit_code, told.output
        assert "dry_run=True seen=1 reopened=1" in told.stderr
        assert ledger.read(job) is None


def test_recover_lists_failed_jobs_again_that_redis_forgot(settings):
    job = failed(settings)
    with closing(Ledger(settings.redis_url, settings.ledger)) as ledger:
        ledger.redis.flushall()
    assert "No job failed.\n" == _run("failed").stdout

    recovered = _run("recover")

    assert 0 == recovered.exit_code, recovered.output
    assert "failed_jobs_listed_again jobs=1" in recovered.stderr
    assert job in _run("failed").stdout


def _run(*arguments: str) -> Result:
    return CliRunner().invoke(main, arguments)


def _json(*arguments: str) -> dict:
    return json.loads(_run(*arguments, "--json").stdout)
