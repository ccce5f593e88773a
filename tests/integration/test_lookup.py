"""How a job stands: from the ledger, else from whatever still knows."""

import pytest
from services.memory_stores import (
    PUBLIC,
    enqueued,
    output,
    rejecting,
    storing,
)
from services.timed_ledger import claimed

from uploadmill.backends.ledger.lookup import JobStatus, status
from uploadmill.backends.ledger.names import ENDED, HEAL
from uploadmill.backends.ledger.record import Ended
from uploadmill.errors import JobNotFound, LedgerUnavailable, StorageUnavailable
from uploadmill.ids import new_job_id
from uploadmill.job import JobState, Placement


@pytest.fixture
def job(settler):
    return enqueued(settler)


@pytest.fixture
def no_ledger(settler, monkeypatch):
    def gone(*args, **kwargs):
        raise LedgerUnavailable("no answer")

    monkeypatch.setattr(settler.ledger, "read", gone)
    monkeypatch.setattr(settler.ledger, "finish", gone)


def forget(settler, job):
    settler.ledger.redis.delete(f"um:job:{job.id}")


def test_an_open_job_is_accepted_or_running(settler, ledger, job):
    assert status(settler, job.id) == JobStatus(job.id, JobState.ACCEPTED, step="pin")

    claimed(ledger, job)

    assert status(settler, job.id) == JobStatus(job.id, JobState.RUNNING, step="pin")


def test_an_ended_job_has_a_result_with_addresses(settler, job):
    settler.settle(*storing(settler.stores, job))

    found = status(settler, job.id)

    assert found.state is JobState.STORED
    original = found.result.outputs["original"]
    assert original.store == "primary"
    assert original.url == f"{PUBLIC}primary/{output(settler.stores, job).key}"


def test_the_addresses_are_those_of_where_the_outputs_are(settler, job):
    settler.settle(*storing(settler.stores, job, Placement.SECONDARY))

    original = status(settler, job.id).result.outputs["original"]

    assert original.store == "secondary"
    assert original.url.startswith(f"{PUBLIC}secondary/")


def test_a_job_that_ended_badly_says_why(settler, job):
    settler.settle(rejecting(job))

    found = status(settler, job.id)

    assert found.state is JobState.REJECTED
    assert found.result.error.code == "corrupt_upload"


def test_a_forgotten_result_comes_from_the_outcome_and_is_cached_again(settler, ledger, job):
    settler.settle(*storing(settler.stores, job, Placement.SECONDARY))
    before = status(settler, job.id)
    forget(settler, job)
    ledger.redis.delete(HEAL)

    assert status(settler, job.id) == before

    assert isinstance(ledger.read(job.id), Ended)
    assert ledger.redis.xlen(ENDED) == 1
    assert ledger.redis.zrange(HEAL, 0, -1) == [job.id]


def test_a_forgotten_result_that_was_healed_is_found_in_the_primary(settler, job):
    stores = settler.stores
    settler.settle(*storing(stores, job, Placement.SECONDARY))
    forget(settler, job)
    for key in stores.secondary.keys():  # noqa: SIM118 - not a dictionary
        stores.primary.put(key, b"healed")

    assert status(settler, job.id).result.outputs["original"].store == "primary"


@pytest.mark.parametrize("placed", [Placement.PRIMARY, Placement.SECONDARY])
def test_a_result_outlives_its_outcome(settler, job, placed):
    settler.settle(*storing(settler.stores, job, placed))
    forget(settler, job)
    settler.stores.staging.delete(f"outcomes/{job.id}.json")

    found = status(settler, job.id)

    assert found.state is JobState.STORED
    assert found.result.outputs["original"].store == placed


def test_a_job_that_redis_forgot_is_accepted_as_long_as_its_envelope_stands(settler, job):
    forget(settler, job)

    assert status(settler, job.id) == JobStatus(job.id, JobState.ACCEPTED)


def test_nobody_knows_the_job(settler):
    with pytest.raises(JobNotFound):
        status(settler, new_job_id())


@pytest.mark.usefixtures("no_ledger")
def test_without_a_ledger_the_stores_answer(settler, job):
    assert status(settler, job.id).state is JobState.ACCEPTED

    outcome = rejecting(job)
    settler.decisions.decide(outcome)

    assert status(settler, job.id) == JobStatus(job.id, JobState.REJECTED, result=outcome.result)


def test_an_outcome_is_told_even_when_nobody_can_say_whether_it_was_healed(settler, job):
    settler.settle(*storing(settler.stores, job, Placement.SECONDARY))
    forget(settler, job)
    settler.stores.primary.out = True

    assert status(settler, job.id).result.outputs["original"].store == "secondary"


def test_a_job_that_ends_while_we_look_is_found(settler, job, monkeypatch):
    forget(settler, job)
    look = settler.decisions.envelope

    def envelope_after_the_end(job_id):
        settler.settle(rejecting(job))
        forget(settler, job)
        return look(job_id)

    monkeypatch.setattr(settler.decisions, "envelope", envelope_after_the_end)

    assert status(settler, job.id).state is JobState.REJECTED


def test_without_ledger_and_staging_nobody_can_tell(settler, job):
    forget(settler, job)
    settler.stores.staging.out = True

    with pytest.raises(StorageUnavailable):
        status(settler, job.id)
