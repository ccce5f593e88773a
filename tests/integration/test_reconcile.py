"""reconcile makes Redis agree with the staging store again, wherever somebody died."""

import pytest
from services.memory_stores import (
    Countdown,
    Died,
    enqueued,
    memory_stores,
    mortal,
    quarantining,
    rejecting,
    storing,
)
from services.timed_ledger import CLOCK, PLAN, brought_to

from uploadmill.backends.ledger.lookup import status
from uploadmill.backends.ledger.names import ENDED, JOB, OPEN
from uploadmill.backends.ledger.reconcile import Reconciled, reconcile
from uploadmill.backends.ledger.record import Ended, Record
from uploadmill.backends.ledger.settle import Settler
from uploadmill.errors import LedgerUnavailable, StorageUnavailable
from uploadmill.job import JobState, Placement


def empty_redis(ledger):
    now = ledger.redis.get(CLOCK)
    ledger.redis.flushdb()
    ledger.redis.set(CLOCK, now)


def test_there_may_be_nothing_to_do(settler):
    assert reconcile(settler) == Reconciled()


def test_a_job_that_redis_forgot_is_opened_again(settler, ledger):
    job = enqueued(settler)
    empty_redis(ledger)

    assert reconcile(settler) == Reconciled(seen=1, reopened=1)

    assert ledger.read(job.id).job == job
    assert brought_to(ledger, job, "commit").step == "commit"


def test_a_job_that_was_opened_again_is_woken_at_once_whatever_waits_in_the_queue(settler, ledger):
    waiting, forgotten = enqueued(settler), enqueued(settler)
    ledger.redis.delete(JOB + forgotten.id)
    ledger.redis.zrem(OPEN, forgotten.id)

    reconcile(settler)

    assert [forgotten.id] == ledger.due(10, heads=[waiting.id])
    # And its own message, where it was not lost after all, tells nothing of the others
    ledger.redis.delete(JOB + forgotten.id)
    reconcile(settler)
    ledger.pass_time(601)
    assert {waiting.id, forgotten.id} == {*ledger.due(10, heads=[forgotten.id])}


def test_a_job_that_redis_knows_is_left_alone(settler, ledger):
    job = enqueued(settler)
    brought_to(ledger, job, "scan")

    assert reconcile(settler) == Reconciled(seen=1)

    record = ledger.read(job.id)
    assert (record.step, record.plan, record.running) == ("scan", PLAN, True)


def test_a_job_that_was_decided_is_concluded(settler, ledger):
    job = enqueued(settler)
    stored, _ = storing(settler.stores, job)
    settler.decisions.decide(stored)
    empty_redis(ledger)

    assert reconcile(settler) == Reconciled(seen=1, concluded=1)

    assert ledger.read(job.id) == Ended(stored, Placement.PRIMARY)
    assert settler.stores.staging.keys() == {f"outcomes/{job.id}.json"}
    assert ledger.redis.xlen(ENDED) == 1


def test_once_is_enough(settler, ledger):
    enqueued(settler)
    settler.decisions.decide(rejecting(enqueued(settler)))
    empty_redis(ledger)

    assert reconcile(settler) == Reconciled(seen=2, reopened=1, concluded=1)
    assert reconcile(settler) == Reconciled(seen=1)


def test_a_dry_run_says_the_same_and_changes_nothing(settler, ledger):
    enqueued(settler)
    settler.decisions.decide(rejecting(enqueued(settler)))
    settler.stores.staging.put("envelopes/0.json", b"{}")
    empty_redis(ledger)
    known = enqueued(settler)
    before = settler.stores.staging.keys()

    foreseen = reconcile(settler, dry_run=True)

    assert foreseen == Reconciled(seen=4, reopened=1, concluded=1, postponed=1)
    assert settler.stores.staging.keys() == before
    assert ledger.redis.keys(f"{JOB}*") == [JOB + known.id]
    assert reconcile(settler) == foreseen


def test_more_jobs_than_are_looked_at_together(settler, ledger, monkeypatch):
    monkeypatch.setattr("uploadmill.backends.ledger.reconcile.PIECE", 4)
    jobs = [enqueued(settler) for _ in range(10)]
    empty_redis(ledger)

    assert reconcile(settler) == Reconciled(seen=10, reopened=10)

    assert all(ledger.read(job.id).job == job for job in jobs)


def test_a_job_whose_store_is_out_does_not_hold_up_the_others(settler, ledger):
    waiting, other = enqueued(settler), enqueued(settler)
    for job in (waiting, other):
        settler.decisions.decide(storing(settler.stores, job, Placement.SECONDARY)[0])
    settler.stores.primary.out = True
    reopened = enqueued(settler)
    empty_redis(ledger)

    assert reconcile(settler) == Reconciled(seen=3, postponed=2, reopened=1)

    assert isinstance(ledger.read(reopened.id), Record)
    settler.stores.primary.out = False
    assert reconcile(settler) == Reconciled(seen=3, concluded=2)


def test_an_envelope_that_cannot_be_read_does_not_hold_up_the_others(settler, ledger):
    settler.stores.staging.put("envelopes/0.json", b'{"version": 2, "parts": []}')
    job = enqueued(settler)
    empty_redis(ledger)

    assert reconcile(settler) == Reconciled(seen=2, reopened=1, postponed=1)

    assert isinstance(ledger.read(job.id), Record)


def test_a_job_that_ended_since_the_listing_is_no_longer_its_business(settler, monkeypatch):
    job = enqueued(settler)
    monkeypatch.setattr(settler.decisions, "envelope_ids", lambda: [job.id])
    settler.settle(rejecting(job))
    monkeypatch.setattr(settler.decisions, "outcome", lambda _: None)

    assert reconcile(settler) == Reconciled(seen=1)


def test_without_a_staging_store_or_a_ledger_it_says_so(settler, monkeypatch):
    job = enqueued(settler)
    settler.stores.staging.out = True
    with pytest.raises(StorageUnavailable):
        reconcile(settler)

    settler.stores.staging.out = False

    def gone(*_, **__):
        raise LedgerUnavailable("no answer")

    monkeypatch.setattr(settler.ledger, "accept", gone)
    with pytest.raises(LedgerUnavailable):
        reconcile(settler)
    assert settler.decisions.envelope(job.id) is not None


# -- a process dies right after each of its calls ------------------------------------------


def store_primary(settler, job):
    settler.settle(*storing(settler.stores, job))


def store_secondary(settler, job):
    settler.settle(*storing(settler.stores, job, Placement.SECONDARY))


def reject(settler, job):
    settler.settle(rejecting(job))


def quarantine(settler, job):
    settler.settle(quarantining(job))


def cancel(settler, job):
    settler.cancel(job.id)


ENDS = {
    "stored": store_primary,
    "stored on the secondary": store_secondary,
    "rejected": reject,
    "quarantined": quarantine,
    "cancelled": cancel,
}


def what_stands(settler, job):
    """All that is left of a job, but for what differs by the moment of its end."""
    record = settler.ledger.read(job.id)
    named = {
        role: {key.replace(job.staged.key, "staged").replace(job.id, "job") for key in keys}
        for role, keys in (
            (role, getattr(settler.stores, role).keys())
            for role in ("staging", "primary", "secondary", "quarantine")
        )
    }
    return record.state, record.location, record.outcome.result.outputs.keys(), named


def deaths(end, settler):
    """How many calls this end makes, so how many moments there are to die at."""
    countdown = Countdown(10_000)
    job = enqueued(settler)
    end(mortal(settler, countdown), job)
    return 10_000 - countdown.calls, what_stands(settler, job)


@pytest.mark.parametrize("forget", [False, True], ids=["redis stays", "redis is emptied"])
@pytest.mark.parametrize("end", ENDS.values(), ids=ENDS)
def test_an_end_that_died_anywhere_comes_to_the_same(ledger, end, forget):
    calls, expected = deaths(end, Settler(ledger, memory_stores()))
    assert calls >= 3

    for moment in range(1, calls + 1):
        settler = Settler(ledger, memory_stores())
        job = enqueued(settler)
        with pytest.raises(Died):
            end(mortal(settler, Countdown(moment)), job)
        if forget:
            empty_redis(ledger)

        reconcile(settler)
        if status(settler, job.id).result is None:  # it died before the decision
            end(settler, job)

        assert what_stands(settler, job) == expected, f"died after call {moment}"
        assert settler.decisions.outcome(job.id).outcome == ledger.read(job.id).outcome
        notices = [entry for _, entry in ledger.redis.xrange(ENDED) if entry["id"] == job.id]
        # Redis emptied after the very last call takes the notice along.
        assert len(notices) == (0 if forget and moment == calls else 1)


@pytest.mark.parametrize("placed", [Placement.PRIMARY, Placement.SECONDARY])
def test_a_reconciliation_that_died_anywhere_is_done_by_the_next(ledger, placed):
    _, expected = deaths(
        lambda settler, job: settler.settle(*storing(settler.stores, job, placed)),
        Settler(ledger, memory_stores()),
    )
    finished = False
    moment = 0
    while not finished:
        moment += 1
        settler = Settler(ledger, memory_stores())
        job = enqueued(settler)
        settler.decisions.decide(storing(settler.stores, job, placed)[0])
        empty_redis(ledger)
        try:
            reconcile(mortal(settler, Countdown(moment)))
            finished = True
        except Died:
            reconcile(settler)

        status(settler, job.id)
        assert what_stands(settler, job) == expected, f"died after call {moment}"
    assert moment > 5


def test_a_record_that_fell_back_to_an_older_state_is_put_right(settler, ledger):
    job = enqueued(settler)
    brought_to(ledger, job, "commit")
    old = ledger.redis.hgetall(JOB + job.id)
    settler.settle(*storing(settler.stores, job))
    ledger.redis.delete(JOB + job.id)
    ledger.redis.hset(JOB + job.id, mapping=old)
    assert ledger.read(job.id).step == "commit"

    outcome = settler.settle(rejecting(job))

    assert outcome.state is JobState.STORED
    assert ledger.read(job.id) == Ended(outcome, Placement.PRIMARY)
