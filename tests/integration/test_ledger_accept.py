"""accept, read and cancel: each answer, on a real Valkey and a clock of our own."""

from datetime import UTC, datetime

from services.timed_ledger import (
    OTHER_SHA256,
    PAYLOAD,
    accepted,
    brought_to,
    claimed,
    finished,
    new_job,
)

from uploadmill.backends.ledger.answers import Accepted, Answer, Terminal
from uploadmill.backends.ledger.record import Ended
from uploadmill.ids import new_job_id


def test_a_new_job_is_open_before_its_first_step(ledger):
    job = new_job(filename="holiday.jpg", metadata={"album": "7"})

    assert ledger.accept(job, PAYLOAD) == Accepted("new")

    record = ledger.read(job.id)
    assert record.job == job
    assert record.step == "pin"
    assert record.plan is None
    assert not record.running
    assert record.accepted_at == datetime.fromtimestamp(1_800_000_000, UTC)


def test_the_sweeper_looks_only_when_the_producers_own_message_had_its_chance(ledger):
    job = accepted(ledger)

    assert ledger.looked_at_in(job) == ledger.constants.publish_grace


def test_accepting_again_changes_nothing(ledger):
    job = accepted(ledger)
    brought_to(ledger, job, "scan")

    assert ledger.accept(job, PAYLOAD) == Accepted("open")

    assert ledger.read(job.id).step == "scan"


def test_another_payload_is_a_conflict_while_the_job_is_open(ledger):
    job = accepted(ledger)

    assert ledger.accept(job, OTHER_SHA256) == Accepted("conflict")


def test_an_ended_job_answers_with_its_outcome(ledger):
    job = accepted(ledger)
    decision = finished(ledger, job)

    assert ledger.accept(job, PAYLOAD) == Accepted("ended", decision.outcome)


def test_another_payload_is_a_conflict_after_the_end_too(ledger):
    job = accepted(ledger)
    finished(ledger, job)

    assert ledger.accept(job, OTHER_SHA256) == Accepted("conflict")


def test_a_job_that_ended_while_redis_had_forgotten_it_is_ended_for_any_payload(ledger):
    job = new_job()
    decision = finished(ledger, job)

    assert ledger.accept(job, PAYLOAD) == Accepted("ended", decision.outcome)


def test_a_record_tells_whether_somebody_works_on_the_job(ledger):
    job = accepted(ledger)
    claimed(ledger, job)
    assert ledger.read(job.id).running

    ledger.pass_time(ledger.constants.lease)

    assert not ledger.read(job.id).running


def test_reading_an_ended_or_unknown_job(ledger):
    job = accepted(ledger)
    decision = finished(ledger, job)

    assert ledger.read(job.id) == Ended(decision.outcome, None)
    assert ledger.read(job.id).state == decision.outcome.state
    assert ledger.read(new_job_id()) is None


def test_cancel_is_a_wish_that_makes_somebody_look_at_once(ledger):
    job = accepted(ledger)

    assert ledger.cancel(job.id) == Answer("ok")

    assert ledger.looked_at_in(job) == 0
    assert ledger.read(job.id).step == "pin"


def test_cancelling_an_ended_or_unknown_job(ledger):
    job = accepted(ledger)
    decision = finished(ledger, job)

    assert ledger.cancel(job.id) == Terminal(decision.outcome)
    assert ledger.cancel(new_job_id()) == Answer("unknown")
