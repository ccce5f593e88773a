"""relocate says where a job's outputs are now; the queue says when somebody is to heal it."""

import pytest
from services.timed_ledger import accepted, decided, new_job, rejection

from uploadmill.backends.ledger import heal_queue
from uploadmill.backends.ledger.heal_queue import HOLD
from uploadmill.backends.ledger.names import ENDED, HEAL, JOB, STRANDED
from uploadmill.job import JobResult, JobState, JobTimes, Outcome, Placement

PRIMARY, SECONDARY, RECALLED = Placement.PRIMARY, Placement.SECONDARY, Placement.RECALLED
DAY = 86_400.0


def stored(ledger, job, location=SECONDARY):
    times = JobTimes(enqueued_at=job.enqueued_at)
    result = JobResult(job_id=job.id, pipeline="document", state=JobState.STORED, times=times)
    decision = decided(Outcome(job=job, state=JobState.STORED, result=result, placed=SECONDARY))
    assert ledger.finish(decision.outcome, decision.document, decision.digest, location) == "done"


@pytest.fixture
def job(ledger):
    """A job that ended on the secondary."""
    job = accepted(ledger)
    stored(ledger, job)
    return job


def home(ledger, job):
    return ledger.relocate(job.id, SECONDARY, PRIMARY)


def due(ledger):
    """Everything that is due now."""
    found = []
    while job_id := heal_queue.next_due(ledger):
        found.append(job_id)
    return found


def in_queue(ledger):
    return list(heal_queue.queued(ledger))


# -- relocate ------------------------------------------------------------------------------


def test_a_job_on_the_secondary_is_at_home_now(ledger, job):
    assert home(ledger, job) == "ok"

    assert ledger.read(job.id).location is PRIMARY


def test_it_is_due_again_when_the_grace_is_over(ledger, job):
    home(ledger, job)

    ledger.pass_time(DAY - 1)
    assert due(ledger) == []
    ledger.pass_time(1)
    assert due(ledger) == [job.id]


@pytest.mark.parametrize("location", [PRIMARY, RECALLED])
def test_who_comes_late_is_told_where_it_is_and_changes_nothing(ledger, job, location):
    ledger.redis.hset(JOB + job.id, "location", location)
    before = ledger.redis.zscore(HEAL, job.id)

    assert home(ledger, job) == location

    assert ledger.field(job, "location") == location
    assert ledger.redis.zscore(HEAL, job.id) == before


def test_a_job_that_redis_forgot_is_unknown(ledger):
    job = new_job()

    assert home(ledger, job) == "unknown"

    assert ledger.redis.keys() == ["test:now"]


def test_a_job_that_redis_fell_back_with_is_open(ledger):
    job = accepted(ledger)

    assert home(ledger, job) == "open"

    assert ledger.field(job, "location") is None


def test_a_job_that_was_not_stored_lies_nowhere(ledger):
    job = accepted(ledger)
    decision = rejection(job)
    ledger.finish(decision.outcome, decision.document, decision.digest, None)

    assert home(ledger, job) == "nowhere"

    assert in_queue(ledger) == []


def test_nobody_is_notified(ledger, job):
    home(ledger, job)

    assert ledger.redis.xlen(ENDED) == 1


def test_a_grace_may_begin_anew(ledger, job):
    home(ledger, job)
    ledger.pass_time(DAY - 1)

    assert ledger.relocate(job.id, PRIMARY, PRIMARY) == "ok"

    ledger.pass_time(DAY - 1)
    assert due(ledger) == []


@pytest.mark.parametrize(("ttl", "expected"), [(7 * DAY, 7 * DAY), (60.0, 2 * DAY)])
def test_the_record_outlives_the_grace(ledger, job, ttl, expected):
    ledger.redis.expire(JOB + job.id, round(ttl))

    home(ledger, job)

    assert ledger.redis.ttl(JOB + job.id) == pytest.approx(expected, abs=2)


# -- the queue -----------------------------------------------------------------------------


def test_a_job_that_ends_on_the_secondary_is_due_at_once_and_for_one_healer(ledger, job):
    assert due(ledger) == [job.id]
    assert due(ledger) == []

    ledger.pass_time(HOLD)

    assert due(ledger) == [job.id]


def test_the_longest_due_comes_first(ledger):
    jobs = []
    for _ in range(3):
        jobs.append(accepted(ledger))
        stored(ledger, jobs[-1])
        ledger.pass_time(1)

    assert due(ledger) == [job.id for job in jobs]


def test_one_that_was_found_is_queued_and_one_that_is_queued_stays_as_it_is(ledger, job):
    home(ledger, job)
    other = new_job()

    heal_queue.put(ledger, [job.id, other.id], 0, only="new")

    assert due(ledger) == [other.id]
    assert set(in_queue(ledger)) == {job.id, other.id}


def test_one_that_was_healed_meanwhile_does_not_come_back(ledger, job):
    heal_queue.drop(ledger, job.id)

    heal_queue.put(ledger, [job.id], 60, only="old")

    assert in_queue(ledger) == []
    assert ledger.redis.zcard(STRANDED) == 0


def test_the_queue_tells_whom_it_does_not_know(ledger, job):
    other = new_job()

    assert heal_queue.unknown_of(ledger, [job.id, other.id]) == [other.id]
