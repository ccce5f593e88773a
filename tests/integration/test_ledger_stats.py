"""stats: how the jobs stand as a whole."""

import pytest
from services.timed_ledger import NODE, accepted, brought_to, claimed, finished, timed_ledger

from uploadmill.backends.ledger import proposals
from uploadmill.backends.ledger.names import JOB, RUNNING, SINCE, WAITING
from uploadmill.backends.ledger.stats import Stats, stats
from uploadmill.ids import new_nonce
from uploadmill.job import ErrorData, JobState, Placement
from uploadmill.wire import LEDGER_PREFIX

LEASE = 30.0
NOTHING = Stats(
    open=0,
    accepted=0,
    running=0,
    waiting=0,
    due=0,
    oldest_open=None,
    heal=0,
    oldest_heal=None,
    healed=0,
    taken=0,
    ended={},
    failed={},
    swept=0,
    lost=0,
    crashed=0,
    fenced=0,
    vanished=0,
)


@pytest.fixture
def ledger(redis_url):
    with timed_ledger(redis_url, lease=LEASE, publish_grace=10) as ledger:
        yield ledger


def shown(ledger, *names):
    """The named numbers, as one tuple."""
    now = stats(ledger)
    return tuple(getattr(now, name) for name in names)


def by_state(ledger):
    return shown(ledger, "open", "accepted", "running", "waiting")


def fail(ledger, job, code):
    error = ErrorData(code=code, message="it broke")
    outcome = proposals.ended_badly(job, JobState.FAILED, ledger.constants, error)
    ledger.finish(outcome, outcome.model_dump_json().encode(), code, None)


def test_there_may_be_nothing(ledger):
    assert stats(ledger) == NOTHING


def test_open_jobs_are_told_apart(ledger):
    for _ in range(4):
        accepted(ledger)
    claimed(ledger, accepted(ledger))
    brought_to(ledger, accepted(ledger), "scan")
    waiting = accepted(ledger)
    ledger.release(waiting.id, claimed(ledger, waiting).token, delay=60)

    assert by_state(ledger) == (7, 4, 2, 1)


def test_a_lease_that_ran_out_and_a_wait_that_is_over_are_seen(ledger):
    running, waiting = accepted(ledger), accepted(ledger)
    go = claimed(ledger, running)
    ledger.release(waiting.id, claimed(ledger, waiting).token, delay=60)
    ledger.pass_time(20)
    ledger.renew(running.id, go.token)
    ledger.pass_time(20)
    assert by_state(ledger) == (2, 0, 1, 1)

    ledger.pass_time(21)

    assert by_state(ledger) == (2, 2, 0, 0)
    assert shown(ledger, "due") == (2,)


def test_a_job_that_is_taken_up_again_waits_no_more(ledger):
    job = accepted(ledger)
    ledger.crashed(job.id, claimed(ledger, job).token)
    assert by_state(ledger) == (1, 0, 0, 1)
    ledger.pass_time(10)

    claimed(ledger, job)

    assert by_state(ledger) == (1, 0, 1, 0)
    assert ledger.redis.zcard(WAITING) == 0


def test_the_oldest_open_job_has_an_age(ledger):
    oldest = accepted(ledger)
    ledger.pass_time(100)
    accepted(ledger)
    ledger.pass_time(5)
    assert shown(ledger, "oldest_open") == (105,)

    finished(ledger, oldest)

    assert shown(ledger, "oldest_open") == (5,)


def test_what_ended_is_counted_once_by_state_and_code(ledger):
    for code in ("poison", "deadline", "deadline"):
        fail(ledger, accepted(ledger), code)
    job = accepted(ledger)
    decision = finished(ledger, job)
    ledger.finish(decision.outcome, decision.document, decision.digest, None)

    assert shown(ledger, "taken", "ended", "failed") == (
        4,
        {"failed": 3, "rejected": 1},
        {"deadline": 2, "poison": 1},
    )


def test_what_goes_wrong_is_counted(ledger):
    job = accepted(ledger)
    lost = claimed(ledger, job)
    ledger.pass_time(LEASE)
    go = claimed(ledger, job)
    ledger.renew(job.id, lost.token)
    ledger.crashed(job.id, go.token)
    ledger.pass_time(10)
    assert ledger.due(10) == [job.id]

    assert shown(ledger, "lost", "fenced", "crashed", "swept") == (1, 1, 1, 1)


def test_a_record_that_vanished_is_counted_and_leaves_no_trace(ledger):
    job = accepted(ledger)
    claimed(ledger, job)
    ledger.redis.delete(JOB + job.id)
    ledger.pass_time(LEASE)

    assert ledger.due(10) == []

    assert stats(ledger) == Stats(
        **{name: getattr(NOTHING, name) for name in Stats.__slots__} | {"vanished": 1, "taken": 1}
    )
    assert [ledger.redis.zcard(name) for name in (SINCE, RUNNING, WAITING)] == [0, 0, 0]


def test_a_job_that_left_behind_our_back_does_not_look_old_for_ever(ledger):
    ledger.redis.zadd(SINCE, {f"gone-{n}": n for n in range(5)})
    accepted(ledger)
    ledger.pass_time(3)

    assert shown(ledger, "oldest_open") == (3,)

    assert ledger.redis.zcard(SINCE) == 1


def test_jobs_on_the_secondary_wait_to_be_healed(ledger):
    job = accepted(ledger)
    outcome = proposals.cancelled(job, ledger.constants)
    ledger.finish(outcome, b"{}", "digest", Placement.SECONDARY)
    ledger.pass_time(7)

    assert shown(ledger, "heal", "oldest_heal", "healed") == (1, 7.0, 0)

    ledger.relocate(job.id, Placement.SECONDARY, Placement.PRIMARY)

    assert shown(ledger, "heal", "oldest_heal", "healed") == (0, None, 1)


def test_jobs_that_ended_leave_nothing_but_their_result(ledger):
    for _ in range(20):
        job = accepted(ledger)
        brought_to(ledger, job, "scan")
        finished(ledger, job)
        ledger.redis.delete(JOB + job.id)  # as its time to live does
    assert ledger.claim(job.id, NODE, new_nonce()).name == "unknown"

    left = set(ledger.redis.keys(f"{LEDGER_PREFIX}*"))
    assert left == {f"{LEDGER_PREFIX}ended", f"{LEDGER_PREFIX}stats"}
