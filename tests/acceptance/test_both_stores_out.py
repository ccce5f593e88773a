"""Output stores that are out: jobs wait with their bytes, and circuits say when to try again."""

from __future__ import annotations

import re
import shutil
from contextlib import closing
from pathlib import Path

import pytest
from pictures import photograph
from services.mill import Mark, Mill
from services.waiting import eventually

from uploadmill.backends.ledger.breaker import CircuitState, circuits
from uploadmill.backends.ledger.ledger import Ledger
from uploadmill.backends.ledger.stats import Stats, stats
from uploadmill.backends.storage.breaker import Circuit
from uploadmill.job import JobState
from uploadmill.worker.embedded.environment import Worker

JOBS = 8

#: Seconds between two probes of what is out.
RETRY = 0.5

#: Circuits that are tried again soon; nobody is to wait for these tests.
SOON = {"UPLOADMILL_BREAKER__OPEN": "1", "UPLOADMILL_LEDGER__RETRY_DELAY": str(RETRY)}

#: Releases by an outage that make it known as one.
KNOWN_AFTER = 3

#: What a sweep that woke somebody says of it.
SWEPT = re.compile(rb" swept due=(\d+)")


@pytest.fixture
def ledger(mill: Mill):
    settings = mill.environment.settings
    with closing(Ledger(settings.redis_url, settings.ledger, timeout=30.0)) as ledger:
        yield ledger


def put_out(mill: Mill, role: str) -> Path:
    """A file stands where the store's folder should be: it takes nothing, and gives nothing."""
    folder = mill.environment.folder / role
    shutil.rmtree(folder, ignore_errors=True)
    folder.write_bytes(b"in the way")
    return folder


def standing(ledger: Ledger) -> dict[str, Circuit]:
    found: dict[str, CircuitState] = dict(circuits(ledger))
    return {store: state.circuit for store, state in found.items()}


def waiting(ledger: Ledger) -> bool:
    found: Stats = stats(ledger)
    return found.open == JOBS and found.running == 0 and found.waiting > 0


def assert_one_job_probes(mill: Mill, worker: Worker) -> None:
    """Of all the jobs that wait for an outage one is woken, every ``RETRY`` seconds."""

    def commits() -> list[Mark]:
        return mill.entries("commit")

    def swept() -> list[int]:
        return [int(count) for count in SWEPT.findall(worker.server.log.read_bytes())]

    assert eventually(lambda: JOBS == len({commit.job_id for commit in commits()}))
    before = len(swept()) + 1  # a sweep that had begun before the outage was known
    assert eventually(lambda: len(swept()) >= before + 6)
    assert {1} == set(swept()[before:])

    # Each was woken once by its producer, and some by the sweeper when the outage was not known
    woken_before = JOBS + KNOWN_AFTER - 1
    made = commits()
    probed_for = made[-1].when - made[KNOWN_AFTER - 1].when
    assert len(made) - woken_before <= 1 + probed_for / RETRY


def test_jobs_wait_while_both_stores_are_out_and_are_stored_when_one_returns(mill, ledger):
    put_out(mill, "primary")
    secondary = put_out(mill, "secondary")
    worker = mill.start(faulty=True, extra=SOON)
    picture = photograph(300, 200)
    jobs = [mill.uploads.enqueue(picture, pipeline="shop") for _ in range(JOBS)]

    assert eventually(lambda: {"primary", "secondary"} == {*standing(ledger)})
    assert eventually(lambda: waiting(ledger))
    assert_one_job_probes(mill, worker)
    staged = mill.files("staging")
    for job in jobs:
        assert mill.uploads.status(job.id).state in (JobState.ACCEPTED, JobState.RUNNING)
        assert any(key.startswith(f"uploads/{job.id}/") for key in staged)
    assert b"store_broken store=primary" in worker.server.log.read_bytes()

    secondary.unlink()

    for job in jobs:
        result = mill.wait(job.id)
        assert JobState.STORED == result.state
        assert {"secondary"} == {output.store for output in result.outputs.values()}
    assert Circuit.CLOSED == standing(ledger)["secondary"]
    assert Circuit.CLOSED != standing(ledger)["primary"]


def test_a_primary_that_is_back_gets_jobs_again(mill, ledger):
    primary = put_out(mill, "primary")
    mill.start(extra=SOON)
    lost = mill.uploads.enqueue(photograph(300, 200), pipeline="shop")
    assert {"secondary"} == {each.store for each in mill.wait(lost.id).outputs.values()}
    assert Circuit.CLOSED != standing(ledger)["primary"]

    primary.unlink()

    def stored_on_primary() -> bool:
        job = mill.uploads.enqueue(photograph(300, 200), pipeline="shop")
        return {"primary"} == {each.store for each in mill.wait(job.id).outputs.values()}

    assert eventually(stored_on_primary)
    assert Circuit.CLOSED == standing(ledger)["primary"]
