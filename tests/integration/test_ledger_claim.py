"""claim: each answer, and what lost leases, crashes and attempts come to."""

from collections import Counter

import pytest
from services.timed_ledger import (
    NODE,
    OTHER_NODE,
    PLAN,
    SHA256,
    accepted,
    brought_to,
    claimed,
    finished,
    handed_in,
    pinned_file,
    timed_ledger,
)

from uploadmill.backends.ledger.answers import Answer, End, Go, Terminal
from uploadmill.backends.ledger.names import JOB
from uploadmill.ids import new_job_id, new_nonce
from uploadmill.job import ErrorData

LEASE = 30.0
LOST_MAX = 3
CRASH_MAX = 2
ATTEMPTS_MAX = 2

STORE_OUT = ErrorData(code="storage_unavailable", message="the store is out", retryable=True)
BROKEN = ErrorData(code="step_failed", message="ValueError")


@pytest.fixture
def ledger(redis_url):
    constants = {
        "lease": LEASE,
        "lost_max": LOST_MAX,
        "crash_max": CRASH_MAX,
        "attempts_max": ATTEMPTS_MAX,
    }
    with timed_ledger(redis_url, **constants) as ledger:
        yield ledger


@pytest.fixture
def job(ledger):
    return accepted(ledger)


def claim(ledger, job, node=NODE):
    return ledger.claim(job.id, node, new_nonce())


def lose_a_lease(ledger, job, node=NODE):
    """Somebody holds the job and is never heard of again; wait until it can be claimed."""
    ledger.pass_time(61)
    answer = claim(ledger, job, node)
    if answer == Answer("wait"):
        ledger.pass_time(61)
        answer = claim(ledger, job, node)
    return answer


def test_an_unknown_job(ledger):
    assert ledger.claim(new_job_id(), NODE, new_nonce()) == Answer("unknown")


def test_an_ended_job_answers_with_its_outcome(ledger, job):
    decision = finished(ledger, job)

    assert claim(ledger, job) == Terminal(decision.outcome)


def test_a_claim_leases_the_first_step_with_the_record(ledger, job):
    nonce = new_nonce()

    answer = ledger.claim(job.id, NODE, nonce)

    assert (answer.step, answer.token) == ("pin", f"1:{nonce}")
    assert answer.record.job == job
    assert answer.record.node == NODE
    assert answer.record.workspace_id == nonce
    assert answer.record.running
    assert ledger.looked_at_in(job) == LEASE


def test_a_job_in_work_is_busy(ledger, job):
    claimed(ledger, job)

    assert claim(ledger, job) == Answer("busy")


def test_the_same_nonce_gets_the_same_answer_when_the_reply_was_lost(ledger, job):
    nonce = new_nonce()
    first = ledger.claim(job.id, NODE, nonce)

    assert ledger.claim(job.id, NODE, nonce) == first

    assert ledger.field(job, "lost_tokens") is None


def test_the_same_nonce_gets_the_same_end_again(ledger, job):
    ledger.cancel(job.id)
    nonce = new_nonce()
    first = ledger.claim(job.id, NODE, nonce)

    assert isinstance(first, End)
    assert ledger.claim(job.id, NODE, nonce) == first


def test_a_released_job_waits_for_its_time(ledger, job):
    ledger.release(job.id, claimed(ledger, job).token, delay=5)

    assert claim(ledger, job) == Answer("wait")
    ledger.pass_time(5)
    assert isinstance(claim(ledger, job), Go)


def test_a_record_of_a_newer_version_is_left_to_a_newer_worker(ledger, job):
    ledger.redis.hset(JOB + job.id, "v", 2)

    assert claim(ledger, job) == Answer("wait")


def test_the_first_lost_lease_is_taken_over_at_once(ledger, job):
    lost = claimed(ledger, job)
    ledger.pass_time(LEASE)

    answer = claim(ledger, job)

    assert isinstance(answer, Go)
    assert answer.token.startswith("2:")
    assert ledger.field(job, "lost_tokens") == f"{lost.token}=pin;"


def test_after_the_second_loss_the_job_waits(ledger, job):
    for _ in range(2):
        claimed(ledger, job)
        ledger.pass_time(LEASE)

    assert claim(ledger, job) == Answer("wait")

    assert 0 <= ledger.looked_at_in(job) <= 5 * 2**2
    ledger.pass_time(5 * 2**2)
    assert isinstance(claim(ledger, job), Go)


def test_a_step_that_loses_its_worker_too_often_is_poison(ledger, job):
    brought_to(ledger, job, "scan")
    for _ in range(LOST_MAX - 1):
        assert isinstance(lose_a_lease(ledger, job), Go)

    answer = lose_a_lease(ledger, job)

    assert isinstance(answer, End)
    assert answer.ending == "failed:poison"
    assert answer.record.step == "scan"


def test_losses_count_per_step(ledger, job):
    claimed(ledger, job)
    answer = lose_a_lease(ledger, job)
    answer = lose_a_lease(ledger, job)
    handed_in(ledger, job, answer.token, "pin")

    ledger.pass_time(LEASE)

    assert isinstance(claim(ledger, job), Go)


def test_an_owner_that_comes_back_is_not_lost(ledger, job):
    first = claimed(ledger, job)
    ledger.pass_time(LEASE)
    second = claimed(ledger, job)

    assert ledger.renew(job.id, first.token) == Answer("fenced")

    assert ledger.field(job, "lost_tokens") == ""
    assert ledger.renew(job.id, second.token) == Answer("ok")


def test_losses_at_two_steps_in_turn_do_not_make_each_other_forgotten(ledger, job):
    claimed(ledger, job)
    losses = Counter()
    answer = Go("pin", "")
    while isinstance(answer, Go):
        losses[answer.step] += 1
        # Somebody else, on another node, who comes as far as the next step in each second run.
        answer = lose_a_lease(ledger, job, node=new_nonce())
        if isinstance(answer, Go) and losses["pin"] > losses["validate"]:
            answer = handed_in(ledger, job, answer.token, "pin")

    assert answer.ending == "failed:poison"
    assert losses == {"pin": LOST_MAX, "validate": LOST_MAX - 1}


def test_no_more_lost_tokens_of_a_step_are_kept_than_count(ledger, job):
    claimed(ledger, job)
    ledger.redis.hset(JOB + job.id, "lost_tokens", "1:x=validate;")
    for _ in range(LOST_MAX + 2):
        lose_a_lease(ledger, job)
        ledger.redis.hdel(JOB + job.id, "ending")

    kept = ledger.field(job, "lost_tokens")
    assert kept.count("=pin;") == LOST_MAX
    assert kept.startswith("1:x=validate;")


def test_a_step_that_kills_its_child_too_often_is_poison(ledger, job):
    go = brought_to(ledger, job, "validate")
    ledger.release(job.id, go.token)
    ledger.redis.hset(JOB + job.id, "crash:validate", CRASH_MAX)

    assert claim(ledger, job).ending == "failed:poison"


def test_crashes_of_another_step_do_not_count(ledger, job):
    ledger.redis.hset(JOB + job.id, "crash:validate", CRASH_MAX)

    assert isinstance(claim(ledger, job), Go)


def test_too_many_counted_attempts_end_the_job_with_their_error(ledger, job):
    for _ in range(ATTEMPTS_MAX):
        go = claimed(ledger, job)
        ledger.release(job.id, go.token, counted=True, error=BROKEN)

    answer = claim(ledger, job)

    assert answer.ending == "failed:step_failed"
    assert answer.record.error == BROKEN


def test_attempts_count_over_restarts_too(ledger, job):
    for _ in range(ATTEMPTS_MAX):
        go = brought_to(ledger, job, "scan")
        ledger.release(job.id, go.token, counted=True, restart=True, error=BROKEN)

    assert claim(ledger, job).ending == "failed:step_failed"


def test_counted_attempts_without_an_error_have_a_name_all_the_same(ledger, job):
    for _ in range(ATTEMPTS_MAX):
        ledger.release(job.id, claimed(ledger, job).token, counted=True)

    assert claim(ledger, job).ending == "failed:step_failed"


def test_waiting_for_an_outage_is_not_counted(ledger, job):
    for _ in range(ATTEMPTS_MAX + 1):
        ledger.release(job.id, claimed(ledger, job).token, error=STORE_OUT)

    assert isinstance(claim(ledger, job), Go)


def test_a_job_past_its_deadline_ends(ledger):
    job = accepted(ledger, deadline=100)
    ledger.pass_time(100.001)

    assert claim(ledger, job).ending == "failed:deadline"


def test_at_its_very_deadline_it_still_runs(ledger):
    job = accepted(ledger, deadline=100)
    ledger.pass_time(100)

    assert isinstance(claim(ledger, job), Go)


def test_a_deadline_that_passed_in_an_outage_ends_under_its_name(ledger):
    job = accepted(ledger, deadline=100)
    ledger.release(job.id, claimed(ledger, job).token, error=STORE_OUT)
    ledger.pass_time(101)

    answer = claim(ledger, job)

    assert answer.ending == "failed:storage_unavailable"
    assert answer.record.error == STORE_OUT


def test_an_outage_that_was_overcome_is_not_blamed(ledger):
    job = accepted(ledger, deadline=100)
    ledger.release(job.id, claimed(ledger, job).token, error=STORE_OUT)
    go = brought_to(ledger, job, "scan")
    ledger.release(job.id, go.token)
    ledger.pass_time(101)

    assert claim(ledger, job).ending == "failed:deadline"


def test_our_own_error_is_no_outage(ledger):
    job = accepted(ledger, deadline=100)
    ledger.release(job.id, claimed(ledger, job).token, error=BROKEN, counted=True)
    ledger.pass_time(101)

    assert claim(ledger, job).ending == "failed:deadline"


def test_a_cancelled_job_ends_at_the_next_claim(ledger, job):
    ledger.cancel(job.id)

    answer = claim(ledger, job)

    assert answer.ending == "cancelled"
    assert answer.record.job == job
    assert ledger.looked_at_in(job) == LEASE


def test_a_worker_lost_while_ending_the_job_is_not_counted(ledger, job):
    ledger.cancel(job.id)
    for _ in range(LOST_MAX + 2):
        assert claim(ledger, job).ending == "cancelled"
        ledger.pass_time(LEASE)

    assert ledger.field(job, "lost_tokens") is None


def test_on_its_own_node_a_job_goes_on_where_it_was(ledger, job):
    before = brought_to(ledger, job, "scan")
    workspace = ledger.read(job.id).workspace_id
    ledger.release(job.id, before.token)

    answer = claim(ledger, job)

    assert answer.step == "scan"
    assert answer.record.files == {"pin": (pinned_file(),)}
    assert list(answer.record.notes) == ["pin", "validate"]
    assert answer.record.workspace_id == workspace


def test_on_another_node_it_starts_over_and_keeps_what_must_not_be_forgotten(ledger, job):
    before = brought_to(ledger, job, "commit")
    ledger.release(job.id, before.token, counted=True, error=BROKEN)

    answer = claim(ledger, job, OTHER_NODE)

    record = answer.record
    assert (answer.step, record.step) == ("pin", "pin")
    assert record.node == OTHER_NODE
    assert (record.files, record.notes, record.certificate) == ({}, {}, None)
    assert (record.plan, record.src_sha256) == (PLAN, SHA256)
    assert ledger.field(job, "attempts:commit") == "1"
