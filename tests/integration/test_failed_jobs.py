"""The list of failed jobs: by code, latest first, and known again after Redis was emptied."""

from services.memory_stores import enqueued, rejecting
from services.timed_ledger import CLOCK

from uploadmill.backends.ledger import proposals
from uploadmill.backends.ledger.failed import failed_jobs, refill
from uploadmill.backends.ledger.names import ENDED, FAILED, JOB
from uploadmill.backends.ledger.stats import stats
from uploadmill.job import ErrorData, JobState

WEEK = 7 * 86_400


def fail(settler, code="poison"):
    job = enqueued(settler)
    error = ErrorData(code=code, step="resize", message=f"it was {code}")
    constants = settler.ledger.constants
    settler.settle(proposals.ended_badly(job, JobState.FAILED, constants, error))
    settler.ledger.pass_time(1)
    return job.id


def listed(ledger, code=None):
    return [job.job_id for job in failed_jobs(ledger, code)]


def test_there_may_be_none(settler, ledger):
    settler.settle(rejecting(enqueued(settler)))

    assert listed(ledger) == []


def test_a_failed_job_tells_what_happened(settler, ledger):
    job_id = fail(settler)

    [job] = failed_jobs(ledger)

    outcome = settler.decisions.outcome(job_id).outcome
    assert (job.job_id, job.code, job.step, job.message, job.pipeline) == (
        job_id,
        "poison",
        "resize",
        "it was poison",
        "document",
    )
    assert (job.ended_at, job.keep_until) == (outcome.result.times.ended_at, outcome.keep_until)


def test_the_latest_come_first_and_can_be_chosen_by_code(settler, ledger):
    poison, late, again = fail(settler), fail(settler, "deadline"), fail(settler)

    assert listed(ledger) == [again, late, poison]
    assert listed(ledger, "poison") == [again, poison]
    assert listed(ledger, "nothing") == []


def test_more_than_a_page(settler, ledger, monkeypatch):
    monkeypatch.setattr("uploadmill.backends.ledger.failed.PAGE", 3)
    ids = [fail(settler) for _ in range(7)]

    assert listed(ledger) == ids[::-1]


def test_a_job_is_listed_as_long_as_its_record_is_there(settler, ledger):
    expired, kept = fail(settler), fail(settler)
    ledger.redis.delete(JOB + expired)
    assert listed(ledger) == [kept]

    ledger.pass_time(WEEK + 1)
    last = fail(settler)

    assert ledger.redis.zrange(FAILED, 0, -1) == [last]


def test_a_redis_that_was_emptied_learns_which_jobs_failed(settler, ledger):
    failed = {fail(settler), fail(settler, "deadline")}
    settler.settle(rejecting(enqueued(settler)))
    now = ledger.redis.get(CLOCK)
    ledger.redis.flushdb()
    ledger.redis.set(CLOCK, now)
    still_open = enqueued(settler)

    assert refill(settler) == 2

    assert set(listed(ledger)) == failed
    assert ledger.redis.xlen(ENDED) == 0
    assert stats(ledger).failed == {}
    assert ledger.read(still_open.id).job == still_open
    assert refill(settler) == 0
