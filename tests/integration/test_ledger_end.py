"""finish writes a decision down; due tells the sweeper whom to wake."""

import pytest
from services.timed_ledger import (
    PAYLOAD,
    accepted,
    brought_to,
    claimed,
    decided,
    new_job,
    rejection,
)

from uploadmill.backends.ledger.names import ENDED, HEAL, JOB, OPEN
from uploadmill.backends.ledger.record import Ended
from uploadmill.job import JobResult, JobState, JobTimes, Outcome, Placement


@pytest.fixture
def job(ledger):
    return accepted(ledger)


def finish(ledger, decision, location=None, *, notify=True):
    return ledger.finish(
        decision.outcome, decision.document, decision.digest, location, notify=notify
    )


def stored(job, placed=Placement.PRIMARY):
    times = JobTimes(enqueued_at=job.enqueued_at)
    result = JobResult(job_id=job.id, pipeline="document", state=JobState.STORED, times=times)
    return decided(Outcome(job=job, state=JobState.STORED, result=result, placed=placed))


def notices(ledger):
    return [entry for _, entry in ledger.redis.xrange(ENDED)]


def test_finishing_an_open_job_ends_it(ledger, job):
    claimed(ledger, job)
    decision = rejection(job)

    assert finish(ledger, decision) == "done"

    assert ledger.read(job.id) == Ended(decision.outcome, None)
    assert ledger.looked_at_in(job) is None
    assert ledger.field(job, "doc") is None


def test_a_job_that_redis_forgot_is_ended_too(ledger):
    job = new_job()
    decision = rejection(job)

    assert finish(ledger, decision) == "done"

    assert ledger.read(job.id) == Ended(decision.outcome, None)


def test_finishing_again_changes_nothing(ledger, job):
    decision = rejection(job)
    finish(ledger, decision)

    assert finish(ledger, decision) == "same"

    assert len(notices(ledger)) == 1


def test_another_outcome_for_the_same_job_is_a_conflict(ledger, job):
    first = rejection(job)
    finish(ledger, first)

    assert finish(ledger, rejection(job, "something else")) == "conflict"

    assert ledger.read(job.id) == Ended(first.outcome, None)


def test_the_result_is_kept_for_a_while(ledger, job):
    finish(ledger, rejection(job))

    assert ledger.redis.ttl(JOB + job.id) == pytest.approx(ledger.constants.result_ttl, abs=2)


def test_everybody_who_listens_hears_of_the_end(ledger, job):
    decision = rejection(job)

    finish(ledger, decision)

    notice = {"id": job.id, "state": "rejected", "digest": decision.digest}
    assert notices(ledger) == [notice]


def test_a_reader_that_fills_the_cache_again_tells_nobody_but_hides_no_end(ledger):
    decision = rejection(new_job())
    finish(ledger, decision, notify=False)
    assert notices(ledger) == []

    assert finish(ledger, decision) == "same"

    assert [notice["digest"] for notice in notices(ledger)] == [decision.digest]


def test_only_what_lies_in_the_secondary_is_to_be_healed(ledger):
    here, there = new_job(), new_job()

    finish(ledger, stored(here), Placement.PRIMARY)
    finish(ledger, stored(there, Placement.SECONDARY), Placement.SECONDARY)

    assert ledger.redis.zrange(HEAL, 0, -1) == [there.id]
    assert ledger.read(here.id).location is Placement.PRIMARY
    assert ledger.read(there.id).location is Placement.SECONDARY


@pytest.mark.parametrize(
    ("commits", "expected"),
    [("none", (False, False)), ("one", (False, True)), ("two", (True, True))],
)
def test_what_runs_may_have_put_in_vain_is_to_be_taken_away(ledger, commits, expected):
    found = []
    for end in (stored, rejection):
        job = accepted(ledger)
        go = brought_to(ledger, job, "extract_metadata" if commits == "none" else "commit")
        if commits == "two":
            # The second one comes to commit at a claim, or from the beginning.
            ledger.release(job.id, go.token, restart=end is stored)
            brought_to(ledger, job, "commit")
        finish(ledger, end(job), Placement.PRIMARY if end is stored else None)
        found.append(job.id in ledger.redis.zrange(HEAL, 0, -1))

    assert expected == tuple(found)


def test_a_claim_at_commit_is_one_more_that_may_have_put_something(ledger, job):
    go = brought_to(ledger, job, "commit")
    ledger.release(job.id, go.token)
    assert "commit" == claimed(ledger, job).step

    finish(ledger, stored(job), Placement.PRIMARY)

    assert ledger.redis.zrange(HEAL, 0, -1) == [job.id]


def test_of_a_job_that_was_healed_before_its_end_was_written_the_copy_keeps_its_grace(ledger, job):
    go = brought_to(ledger, job, "commit")
    ledger.release(job.id, go.token)
    claimed(ledger, job)

    finish(ledger, stored(job, Placement.SECONDARY), Placement.PRIMARY)

    assert ledger.redis.zrange(HEAL, 0, -1) == []


def test_a_record_of_before_an_upgrade_that_stands_at_commit_is_looked_at(ledger, job):
    brought_to(ledger, job, "commit")
    ledger.redis.hdel(JOB + job.id, "commits")

    finish(ledger, rejection(job))

    assert ledger.redis.zrange(HEAL, 0, -1) == [job.id]


# -- due -----------------------------------------------------------------------------------


def test_nothing_is_due_before_its_time(ledger, job):
    assert ledger.due(10) == []

    ledger.pass_time(ledger.constants.publish_grace)

    assert ledger.due(10) == [job.id]


def test_the_longest_due_come_first_and_no_more_than_asked_for(ledger):
    jobs = []
    for _ in range(3):
        jobs.append(accepted(ledger).id)
        ledger.pass_time(1)
    ledger.pass_time(ledger.constants.publish_grace)

    assert ledger.due(2) == jobs[:2]
    assert ledger.due(2) == jobs[2:]


def test_each_look_puts_the_next_one_off_further_up_to_a_minute(ledger, job):
    ledger.pass_time(ledger.constants.publish_grace)
    waits = []
    for _ in range(5):
        assert ledger.due(1) == [job.id]
        waits.append(ledger.looked_at_in(job))
        ledger.pass_time(waits[-1])

    assert waits == [20, 40, 60, 60, 60]


def test_a_claim_makes_the_sweeper_patient_again(ledger, job):
    ledger.pass_time(ledger.constants.publish_grace)
    ledger.due(1)
    claimed(ledger, job)
    ledger.pass_time(ledger.constants.lease)

    ledger.due(1)

    assert ledger.looked_at_in(job) == 20


def test_a_record_that_vanished_or_ended_is_not_due(ledger, job):
    ended = accepted(ledger)
    finish(ledger, rejection(ended))
    ledger.redis.zadd(OPEN, {ended.id: 0})
    ledger.redis.delete(JOB + job.id)
    ledger.pass_time(ledger.constants.publish_grace)

    assert ledger.due(10) == []

    assert ledger.redis.zcard(OPEN) == 0
    assert ledger.accept(job, PAYLOAD).name == "new"
