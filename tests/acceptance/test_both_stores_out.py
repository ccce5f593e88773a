"""Output stores that are out: jobs wait with their bytes, and circuits say when to try again."""

from __future__ import annotations

import shutil
from contextlib import closing
from pathlib import Path

import pytest
from pictures import photograph
from services.mill import Mill
from services.waiting import eventually

from uploadmill.backends.ledger.breaker import CircuitState, circuits
from uploadmill.backends.ledger.ledger import Ledger
from uploadmill.backends.ledger.stats import Stats, stats
from uploadmill.backends.storage.breaker import Circuit
from uploadmill.job import JobState

JOBS = 3

#: Circuits that are tried again soon; nobody is to wait for these tests.
SOON = {"UPLOADMILL_BREAKER__OPEN": "1"}


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


def test_jobs_wait_while_both_stores_are_out_and_are_stored_when_one_returns(mill, ledger):
    put_out(mill, "primary")
    secondary = put_out(mill, "secondary")
    worker = mill.start(extra=SOON)
    jobs = [mill.uploads.enqueue(photograph(300, 200), pipeline="shop") for _ in range(JOBS)]

    assert eventually(lambda: {"primary", "secondary"} == {*standing(ledger)})
    assert eventually(lambda: waiting(ledger))
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
