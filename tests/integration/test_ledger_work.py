"""renew, complete and release: each answer to a worker that holds, or held, a lease."""

import pytest
import redis
from services.timed_ledger import (
    NODE,
    OTHER_SHA256,
    PLAN,
    SHA256,
    UNSCANNED_PLAN,
    accepted,
    brought_to,
    certificate,
    claimed,
    finished,
    handed_in,
    note,
    pinned_file,
    timed_ledger,
)

from uploadmill.backends.ledger.answers import Answer, End, Go, Terminal
from uploadmill.ids import new_job_id, new_nonce
from uploadmill.job import ErrorData

LEASE = 30.0
BROKEN = ErrorData(code="step_failed", step="scan", message="ValueError")
STORE_OUT = ErrorData(code="storage_unavailable", message="the store is out", retryable=True)


@pytest.fixture
def ledger(redis_url):
    with timed_ledger(redis_url, lease=LEASE) as ledger:
        yield ledger


@pytest.fixture
def job(ledger):
    return accepted(ledger)


CALLS = {
    "renew": lambda ledger, job_id, token: ledger.renew(job_id, token),
    "release": lambda ledger, job_id, token: ledger.release(job_id, token),
    "complete": lambda ledger, job_id, token: ledger.complete(
        job_id, token, "pin", new_nonce(), note=note("pin"), plan=PLAN, src_sha256=SHA256
    ),
}


@pytest.fixture(params=CALLS.values(), ids=CALLS)
def call(request):
    return request.param


def test_an_unknown_job(ledger, call):
    assert call(ledger, new_job_id(), "1:x") == Answer("unknown")


def test_an_ended_job_answers_with_its_outcome(ledger, job, call):
    go = claimed(ledger, job)
    decision = finished(ledger, job)

    assert call(ledger, job.id, go.token) == Terminal(decision.outcome)


def test_a_worker_whose_lease_went_to_another_is_fenced_and_refunded(ledger, job, call):
    go = claimed(ledger, job)
    ledger.pass_time(LEASE)
    claimed(ledger, job)
    assert ledger.field(job, "lost_tokens") == f"{go.token}=pin;"

    assert call(ledger, job.id, go.token) == Answer("fenced")

    assert ledger.field(job, "lost_tokens") == ""


def test_only_the_workers_own_token_is_refunded(ledger, job, call):
    first = claimed(ledger, job)
    ledger.pass_time(LEASE)
    second = claimed(ledger, job)
    ledger.pass_time(LEASE)
    ledger.claim(job.id, NODE, new_nonce())

    call(ledger, job.id, first.token)

    assert ledger.field(job, "lost_tokens") == f"{second.token}=pin;"


def test_a_lease_that_ran_out_but_was_not_taken_over_still_passes(ledger, job, call):
    go = claimed(ledger, job)
    ledger.pass_time(10 * LEASE)

    assert call(ledger, job.id, go.token) not in (Answer("fenced"), Answer("unknown"))


def test_a_token_with_the_same_fence_but_another_nonce_is_fenced(ledger, job, call):
    claimed(ledger, job)

    assert call(ledger, job.id, "1:0000000000000000") == Answer("fenced")


# -- renew ---------------------------------------------------------------------------------


def test_renew_gives_another_full_term(ledger, job):
    go = claimed(ledger, job)
    ledger.pass_time(20)

    assert ledger.renew(job.id, go.token) == Answer("ok")

    assert ledger.looked_at_in(job) == LEASE
    ledger.pass_time(20)
    assert ledger.read(job.id).running


def test_renew_tells_a_worker_to_end_a_cancelled_job(ledger, job):
    go = claimed(ledger, job)
    ledger.cancel(job.id)

    assert ledger.renew(job.id, go.token) == End("cancelled", go.token)


def test_renew_tells_a_worker_to_end_a_job_past_its_deadline(ledger):
    job = accepted(ledger, deadline=10)
    go = claimed(ledger, job)
    ledger.pass_time(11)

    assert ledger.renew(job.id, go.token) == End("failed:deadline", go.token)


def test_renew_repeats_an_end_that_was_given_before(ledger, job):
    ledger.cancel(job.id)
    end = ledger.claim(job.id, NODE, new_nonce())

    assert ledger.renew(job.id, end.token) == End("cancelled", end.token)


# -- complete ------------------------------------------------------------------------------


def test_complete_records_the_step_and_leases_the_next_one(ledger, job):
    go = claimed(ledger, job)
    nonce = new_nonce()
    ledger.pass_time(20)

    answer = handed_in(ledger, job, go.token, "pin", next_nonce=nonce)

    assert answer == Go("validate", f"2:{nonce}")
    record = ledger.read(job.id)
    assert record.step == "validate"
    assert record.files == {"pin": (pinned_file(),)}
    assert record.notes == {"pin": note("pin")}
    assert (record.plan, record.src_sha256) == (PLAN, SHA256)
    assert ledger.looked_at_in(job) == LEASE


def test_a_chain_runs_every_step_of_its_plan_in_order(ledger, job):
    go = claimed(ledger, job)
    seen = [go.step]
    while go.step != "commit":
        go = handed_in(ledger, job, go.token, go.step)
        seen.append(go.step)

    assert tuple(seen) == PLAN.names
    assert ledger.read(job.id).certificate == certificate()


def test_complete_repeats_its_answer_when_the_reply_was_lost(ledger, job):
    go = claimed(ledger, job)
    nonce = new_nonce()
    first = handed_in(ledger, job, go.token, "pin", next_nonce=nonce)

    assert handed_in(ledger, job, go.token, "pin", next_nonce=nonce) == first

    assert ledger.field(job, "fence") == "2"


def test_complete_repeats_an_end_when_the_reply_was_lost(ledger, job):
    go = claimed(ledger, job)
    ledger.cancel(job.id)
    nonce = new_nonce()
    first = handed_in(ledger, job, go.token, "pin", next_nonce=nonce)

    assert first == End("cancelled", f"2:{nonce}")
    assert handed_in(ledger, job, go.token, "pin", next_nonce=nonce) == first


def test_other_bytes_than_those_pinned_before_are_noticed(ledger, job):
    go = brought_to(ledger, job, "scan")
    ledger.release(job.id, go.token, restart=True)
    go = claimed(ledger, job)

    answer = handed_in(ledger, job, go.token, "pin", src_sha256=OTHER_SHA256)

    assert answer == Answer("changed")
    assert ledger.read(job.id).src_sha256 == SHA256


def test_the_plan_is_frozen_by_the_first_pin(ledger, job):
    go = brought_to(ledger, job, "scan")
    ledger.release(job.id, go.token, restart=True)
    go = claimed(ledger, job)

    handed_in(ledger, job, go.token, "pin", plan=UNSCANNED_PLAN)

    assert ledger.read(job.id).plan == PLAN


def test_a_certificate_of_other_bytes_is_refused(ledger, job):
    go = brought_to(ledger, job, "scan")
    other = certificate(sha256=OTHER_SHA256)

    assert handed_in(ledger, job, go.token, "scan", certificate=other) == Answer("refused")

    record = ledger.read(job.id)
    assert (record.step, record.certificate) == ("scan", None)


def test_nothing_is_committed_without_a_clean_certificate(ledger, job):
    go = brought_to(ledger, job, "scan")
    go = handed_in(ledger, job, go.token, "scan", certificate=None)
    assert go.step == "extract_metadata"

    assert handed_in(ledger, job, go.token, "extract_metadata") == Answer("refused")


@pytest.mark.parametrize("verdict", ["infected", "not_scanned"])
def test_no_other_verdict_is_clean(ledger, job, verdict):
    go = brought_to(ledger, job, "scan")
    go = handed_in(ledger, job, go.token, "scan", certificate=certificate(verdict))

    assert handed_in(ledger, job, go.token, "extract_metadata") == Answer("refused")


def test_a_certificate_does_not_outlive_a_restart(ledger, job):
    go = brought_to(ledger, job, "commit")
    ledger.release(job.id, go.token, restart=True)
    go = brought_to(ledger, job, "scan")
    go = handed_in(ledger, job, go.token, "scan", certificate=None)

    assert handed_in(ledger, job, go.token, "extract_metadata") == Answer("refused")


def test_bytes_that_nobody_hashed_are_refused_before_commit(ledger, job):
    go = claimed(ledger, job)
    for step in ("pin", "validate", "scan"):
        go = handed_in(ledger, job, go.token, step, src_sha256=None, certificate=None)

    assert handed_in(ledger, job, go.token, "extract_metadata") == Answer("refused")


def test_a_pipeline_that_does_not_scan_needs_no_certificate(ledger, job):
    go = claimed(ledger, job)
    go = handed_in(ledger, job, go.token, "pin", plan=UNSCANNED_PLAN)

    assert handed_in(ledger, job, go.token, "validate").step == "commit"


def test_a_cancelled_job_ends_after_the_step_that_ran(ledger, job):
    go = claimed(ledger, job)
    ledger.cancel(job.id)

    answer = handed_in(ledger, job, go.token, "pin")

    assert isinstance(answer, End)
    assert answer.ending == "cancelled"
    assert ledger.renew(job.id, answer.token) == End("cancelled", answer.token)


def test_a_job_past_its_deadline_ends_after_the_step_that_ran(ledger):
    job = accepted(ledger, deadline=10)
    go = claimed(ledger, job)
    ledger.pass_time(11)

    assert handed_in(ledger, job, go.token, "pin").ending == "failed:deadline"


def test_a_deadline_that_passed_in_an_outage_keeps_its_error(ledger):
    job = accepted(ledger, deadline=10)
    ledger.release(job.id, claimed(ledger, job).token, error=STORE_OUT)
    go = claimed(ledger, job)
    ledger.pass_time(11)

    assert handed_in(ledger, job, go.token, "pin").ending == "failed:storage_unavailable"
    assert ledger.read(job.id).error == STORE_OUT


def test_a_step_that_is_not_in_the_plan_is_a_mistake_of_ours(ledger, job):
    go = claimed(ledger, job)

    with pytest.raises(redis.ResponseError, match="no step follows commit"):
        handed_in(ledger, job, go.token, "commit")


# -- release -------------------------------------------------------------------------------


def test_a_job_given_back_is_looked_at_after_the_delay(ledger, job):
    go = claimed(ledger, job)

    assert ledger.release(job.id, go.token, delay=7) == Answer("ok")

    assert ledger.looked_at_in(job) == 7
    assert not ledger.read(job.id).running
    ledger.pass_time(7)
    claimed(ledger, job)
    assert ledger.field(job, "lost_tokens") is None


def test_a_repeated_release_finds_itself_fenced_and_counts_once(ledger, job):
    go = claimed(ledger, job)
    ledger.release(job.id, go.token, counted=True, error=BROKEN)

    assert ledger.release(job.id, go.token, counted=True, error=BROKEN) == Answer("fenced")

    assert ledger.field(job, "attempts:pin") == "1"


@pytest.mark.parametrize(("counted", "attempts"), [(True, "1"), (False, None)])
def test_a_release_is_counted_or_not_and_says_why(ledger, job, counted, attempts):
    go = brought_to(ledger, job, "scan")

    ledger.release(job.id, go.token, counted=counted, error=BROKEN)

    assert ledger.field(job, "attempts:scan") == attempts
    assert ledger.read(job.id).error == BROKEN


def test_a_release_without_an_error_keeps_the_last_one(ledger, job):
    ledger.release(job.id, claimed(ledger, job).token, error=STORE_OUT)

    ledger.release(job.id, claimed(ledger, job).token)

    assert ledger.read(job.id).error == STORE_OUT


def test_a_release_with_restart_goes_back_to_the_first_step(ledger, job):
    go = brought_to(ledger, job, "commit")

    ledger.release(job.id, go.token, restart=True)

    record = ledger.read(job.id)
    assert record.step == "pin"
    assert (record.files, record.notes, record.certificate) == ({}, {}, None)
    assert (record.plan, record.src_sha256) == (PLAN, SHA256)
