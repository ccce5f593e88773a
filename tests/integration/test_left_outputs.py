"""What a run has put in its commit goes again, however the job ends without it."""

from __future__ import annotations

import pytest
from services.memory_stores import MoodyStorage
from services.one_process import one_process
from services.timed_ledger import OTHER_NODE, claimed

from uploadmill.backends.ledger import heal_queue
from uploadmill.backends.ledger.healing import heal
from uploadmill.backends.ledger.settle import Settler
from uploadmill.errors import StorageUnavailable
from uploadmill.job import JobState
from uploadmill.settings import HealSettings
from uploadmill.wire import OUTCOMES

FAST = HealSettings(jobs_per_second=10_000)


@pytest.fixture
def process(redis_url, tmp_path, monkeypatch):
    with one_process(redis_url, tmp_path / "node", monkeypatch) as process:
        yield process


@pytest.fixture
def at_put(process, monkeypatch):
    """Do something instead of the next put into a store under a key that begins so."""

    def install(role, begins, act):
        put, store = MoodyStorage.put, getattr(process.stores, role)

        def replaced(storage, key, *args, **kwargs):
            if storage is not store or not key.startswith(begins):
                return put(storage, key, *args, **kwargs)
            monkeypatch.setattr(MoodyStorage, "put", put)
            return act(lambda: put(storage, key, *args, **kwargs))

        monkeypatch.setattr(MoodyStorage, "put", replaced)

    return install


def settler(process) -> Settler:
    return Settler(process.ledger, process.stores)


def outputs(process) -> set[str]:
    return process.stores.primary.keys() | process.stores.secondary.keys()


def queued(process) -> list[str]:
    return list(heal_queue.queued(process.ledger))


def cancelled_while_staging_is_out(process, job):
    """The run cannot decide; before it gives the job back somebody else has ended it."""

    def act(_put):
        assert outputs(process)
        settler(process).cancel(job.id)
        raise StorageUnavailable("staging", "out, says the test", retry_here=False)

    return act


def cancelled_in_mid_commit(process, job):
    """What was put last is there, the next one is refused, and so is all of the other store."""

    def act(put):
        put()
        assert outputs(process)
        settler(process).cancel(job.id)
        process.stores.secondary.full = True
        raise StorageUnavailable("primary", "full, says the test", retry_here=False)

    return act


def test_the_outputs_of_a_run_whose_job_is_cancelled_before_it_decides(process, at_put):
    job = process.enqueue()
    at_put("staging", OUTCOMES, cancelled_while_staging_is_out(process, job))

    process.run(job)

    assert (JobState.CANCELLED, None) == process.ended(job)
    assert set() == outputs(process)
    assert [] == process.folders(job)


def test_the_outputs_of_a_commit_that_is_broken_off_half_way(process, at_put):
    job = process.enqueue()
    at_put("primary", "media/", cancelled_in_mid_commit(process, job))

    process.run(job)

    assert (JobState.CANCELLED, None) == process.ended(job)
    assert set() == outputs(process)


def test_a_store_that_is_out_by_then_is_cleared_by_whoever_heals_next(process, at_put):
    job = process.enqueue()
    goes_on = cancelled_while_staging_is_out(process, job)

    def act(put):
        process.stores.primary.out = True
        return goes_on(put)

    at_put("staging", OUTCOMES, act)
    process.run(job)
    assert 1 == len(outputs(process))
    process.stores.primary.out = False

    assert 1 == heal(settler(process), FAST).cleared

    assert set() == outputs(process)
    assert [] == queued(process)


def killed_in_its_commit(process, at_put, job) -> None:
    """A run that has put an output, and then is no more: neither decided nor given back."""

    class Killed(BaseException):
        pass

    def act(put):
        put()
        raise Killed

    at_put("primary", "media/", act)
    with pytest.raises(Killed):
        process.run(job)
    assert 1 == len(outputs(process))


def test_the_outputs_of_a_run_that_was_killed_before_its_job_is_cancelled(process, at_put):
    job = process.enqueue()
    killed_in_its_commit(process, at_put, job)

    settler(process).cancel(job.id)

    assert [job.id] == queued(process)
    assert 1 == heal(settler(process), FAST).cleared
    assert set() == outputs(process)


def test_they_are_not_forgotten_where_the_job_has_begun_anew_elsewhere(process, at_put):
    job = process.enqueue()
    killed_in_its_commit(process, at_put, job)
    process.ledger.pass_time(process.ledger.constants.lease + 1)
    assert "pin" == claimed(process.ledger, job, OTHER_NODE).step

    settler(process).cancel(job.id)

    heal(settler(process), FAST)
    assert set() == outputs(process)


def test_a_run_that_lost_its_job_in_the_commit_deletes_nothing_and_has_it_looked_at(
    process, at_put
):
    job = process.enqueue()

    def taken_over(_put):
        process.ledger.pass_time(process.ledger.constants.lease + 1)
        claimed(process.ledger, job)
        raise StorageUnavailable("staging", "out, says the test", retry_here=False)

    at_put("staging", OUTCOMES, taken_over)
    process.run(job)

    assert 1 == len(outputs(process))
    assert [job.id] == queued(process)
    # As long as it is open nobody touches them
    assert 1 == heal(settler(process), FAST).postponed
    assert 1 == len(outputs(process))
    process.ledger.pass_time(process.ledger.constants.lease + 1)
    process.run_later(job)
    process.ledger.pass_time(heal_queue.HOLD)
    heal(settler(process), FAST)
    assert (JobState.STORED, None) == process.ended(job)
    assert 2 == len(outputs(process))
    assert [] == queued(process)
