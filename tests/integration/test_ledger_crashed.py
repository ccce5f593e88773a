"""crashed: each answer to the parent of a child that died; agree: the first value holds."""

import pytest
from services.timed_ledger import (
    NODE,
    OTHER_NODE,
    accepted,
    brought_to,
    claimed,
    finished,
    handed_in,
    timed_ledger,
)

from uploadmill.backends.ledger import proposals
from uploadmill.backends.ledger.answers import Answer, End, Go, Terminal
from uploadmill.backends.ledger.names import AGREED
from uploadmill.ids import new_job_id, new_nonce
from uploadmill.job import ErrorData

LEASE = 30.0
KILLED = ErrorData(code="crashed", message="killed by SIGKILL at 512 MB")


@pytest.fixture
def ledger(redis_url):
    with timed_ledger(redis_url, lease=LEASE, crash_max=3, lost_max=2) as ledger:
        yield ledger


@pytest.fixture
def job(ledger):
    return accepted(ledger)


def crash(ledger, job, times=1):
    """So many children die in turn at the step that the job stands before."""
    for _ in range(times):
        ledger.crashed(job.id, claimed(ledger, job).token, KILLED)
        ledger.pass_time(5 * 2**3)


def test_an_unknown_job(ledger):
    assert ledger.crashed(new_job_id(), "1:x", KILLED) == Answer("unknown")


def test_a_child_that_died_after_its_job_had_ended(ledger, job):
    go = claimed(ledger, job)
    decision = finished(ledger, job)

    assert ledger.crashed(job.id, go.token, KILLED) == Terminal(decision.outcome)


@pytest.mark.parametrize("token", ["1:0000000000000000", ""])
def test_a_token_that_nobody_held_or_lost_is_fenced(ledger, job, token):
    claimed(ledger, job)

    assert ledger.crashed(job.id, token, KILLED) == Answer("fenced")

    assert ledger.field(job, "crash:pin") is None
    assert ledger.read(job.id).running


def test_a_token_given_back_before_is_fenced(ledger, job):
    go = claimed(ledger, job)
    ledger.release(job.id, go.token)

    assert ledger.crashed(job.id, go.token, KILLED) == Answer("fenced")


def test_a_crash_counts_for_its_step_and_gives_the_job_back(ledger, job):
    go = brought_to(ledger, job, "scan")

    assert ledger.crashed(job.id, go.token, KILLED) == Answer("ok")

    assert ledger.field(job, "crash:scan") == "1"
    record = ledger.read(job.id)
    assert (record.step, record.running, record.cause) == ("scan", False, KILLED)
    assert ledger.field(job, "lost_tokens") is None


def test_a_crash_need_not_have_a_known_cause(ledger, job):
    assert ledger.crashed(job.id, claimed(ledger, job).token) == Answer("ok")

    assert (ledger.field(job, "crash:pin"), ledger.read(job.id).cause) == ("1", None)


@pytest.mark.parametrize("crashes", [1, 2, 3])
def test_the_job_waits_longer_after_each_crash(ledger, job, crashes, monkeypatch):
    monkeypatch.setattr("random.random", lambda: 0.5)
    for earlier in range(1, crashes + 1):
        ledger.crashed(job.id, claimed(ledger, job).token)
        wait = 0.5 * 5 * 2**earlier
        assert ledger.looked_at_in(job) == wait
        if earlier < crashes:
            ledger.pass_time(wait)

    ledger.pass_time(wait - 0.1)
    assert ledger.claim(job.id, NODE, new_nonce()) == Answer("wait")
    ledger.pass_time(0.1)
    assert isinstance(ledger.claim(job.id, NODE, new_nonce()), Go | End)


def test_a_repeated_report_counts_once(ledger, job):
    go = claimed(ledger, job)
    ledger.crashed(job.id, go.token, KILLED)

    assert ledger.crashed(job.id, go.token, KILLED) == Answer("fenced")

    assert ledger.field(job, "crash:pin") == "1"


def test_a_lease_that_ran_out_before_the_report_is_a_crash_all_the_same(ledger, job):
    go = claimed(ledger, job)
    ledger.pass_time(2 * LEASE)

    assert ledger.crashed(job.id, go.token, KILLED) == Answer("ok")

    assert ledger.field(job, "crash:pin") == "1"
    assert ledger.field(job, "lost_tokens") is None


def test_a_loss_that_was_a_crash_is_counted_as_one(ledger, job):
    lost = claimed(ledger, job)
    ledger.pass_time(LEASE)
    successor = claimed(ledger, job)
    go = handed_in(ledger, job, successor.token, "pin")

    assert ledger.crashed(job.id, lost.token, KILLED) == Answer("ok")

    assert ledger.field(job, "lost_tokens") == ""
    assert (ledger.field(job, "crash:pin"), ledger.field(job, "crash:validate")) == ("1", None)
    assert ledger.renew(job.id, go.token) == Answer("ok")


def test_the_other_losses_stay(ledger, job):
    first = claimed(ledger, job)
    ledger.pass_time(LEASE)
    second = claimed(ledger, job)
    ledger.pass_time(LEASE)
    ledger.claim(job.id, NODE, new_nonce())

    ledger.crashed(job.id, first.token, KILLED)

    assert ledger.field(job, "lost_tokens") == f"{second.token}=pin;"


def test_a_step_that_kills_its_child_is_poison_and_the_result_says_of_what(ledger, job):
    crash(ledger, job, times=3)

    end = ledger.claim(job.id, NODE, new_nonce())

    assert (end.ending, end.record.cause) == ("failed:poison", KILLED)
    error = proposals.from_ending(end.ending, end.record, ledger.constants).result.error
    assert error.step == "pin"
    assert error.message.endswith("; the last one: killed by SIGKILL at 512 MB")


def test_a_start_over_gives_no_fresh_chances(ledger, job):
    go = brought_to(ledger, job, "scan")
    ledger.crashed(job.id, go.token, KILLED)
    for _ in range(2):
        ledger.pass_time(100)
        ledger.crashed(job.id, brought_to(ledger, job, "scan", OTHER_NODE).token, KILLED)
    ledger.pass_time(100)

    assert ledger.claim(job.id, NODE, new_nonce()).ending == "failed:poison"


def test_the_crashes_of_another_step_do_not_count(ledger, job):
    crash(ledger, job, times=2)
    go = brought_to(ledger, job, "validate")
    ledger.crashed(job.id, go.token, KILLED)
    ledger.pass_time(100)

    assert claimed(ledger, job).step == "validate"


def test_dying_in_settling_an_end_is_free(ledger, job):
    ledger.cancel(job.id)
    for _ in range(5):
        end = ledger.claim(job.id, NODE, new_nonce())
        assert end.ending == "cancelled"
        assert ledger.crashed(job.id, end.token, KILLED) == Answer("ok")
        ledger.pass_time(5)

    assert ledger.field(job, "crash:pin") is None


# -- agree ---------------------------------------------------------------------------------


def test_the_first_value_holds(ledger):
    assert ledger.agree("visibility_timeout", "3600") == "3600"

    assert ledger.agree("visibility_timeout", "60") == "3600"
    assert ledger.agree("something else", "60") == "60"


def test_a_value_holds_as_long_as_somebody_says_it(ledger):
    key = AGREED + "visibility_timeout"
    ledger.agree("visibility_timeout", "3600", hold=100)
    ledger.redis.expire(key, 10)  # ninety seconds later
    ledger.agree("visibility_timeout", "3600", hold=100)
    assert ledger.redis.ttl(key) > 10

    ledger.redis.expire(key, 10)
    assert ledger.agree("visibility_timeout", "60", hold=100) == "3600"
    assert ledger.redis.ttl(key) <= 10

    ledger.redis.delete(key)  # which Redis does when the time is over
    assert ledger.agree("visibility_timeout", "60") == "60"
