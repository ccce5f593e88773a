"""From a proposal to an ended job, whoever comes first, whatever is out."""

import hashlib
import json
import logging

import pytest
from services.memory_stores import (
    CONTENT,
    enqueued,
    missing_source,
    output,
    quarantining,
    rejecting,
    storing,
)
from services.timed_ledger import OTHER_SHA256, PAYLOAD, brought_to, new_job

from uploadmill.backends.ledger import heal_queue
from uploadmill.backends.ledger import settle as settle_module
from uploadmill.backends.ledger.answers import End
from uploadmill.backends.ledger.heal import Healer
from uploadmill.backends.ledger.healing import find_stranded
from uploadmill.backends.ledger.names import ENDED
from uploadmill.backends.ledger.record import Ended
from uploadmill.errors import JobNotFound, LedgerUnavailable, StorageUnavailable
from uploadmill.ids import new_job_id
from uploadmill.job import Envelope, JobResult, JobState, Outcome, Placement
from uploadmill.settings import HealSettings


@pytest.fixture
def stores(settler):
    return settler.stores


@pytest.fixture
def job(settler):
    return enqueued(settler)


@pytest.fixture
def slow(monkeypatch):
    """Every run takes longer than its lease between two looks at the clock."""
    times = iter(range(0, 100_000, 1_000))
    monkeypatch.setattr(settle_module, "boot_time", lambda: float(next(times)))


def test_a_stored_job_is_published_finished_and_cleaned_up(settler, stores, ledger, job):
    proposal, put = storing(stores, job)

    assert settler.settle(proposal, put) == proposal

    assert stores.primary.keys() == {output(stores, job).key, f"media/{job.id}/result.json"}
    assert stores.staging.keys() == {f"outcomes/{job.id}.json"}
    assert ledger.read(job.id) == Ended(proposal, Placement.PRIMARY)


def test_the_published_result_names_no_store(settler, stores, job):
    proposal, put = storing(stores, job)

    settler.settle(proposal, put)

    with stores.primary.open(stores.result_key(job.id)) as reader:
        document = json.loads(reader.read(100_000))
    assert JobResult.model_validate(document) == proposal.result
    assert document["outputs"]["original"]["store"] is None
    assert document["outputs"]["original"]["url"] is None


def test_the_result_is_published_before_anybody_hears_of_the_end(settler, stores, ledger, job):
    proposal, put = storing(stores, job)
    stores.primary.full = True

    with pytest.raises(StorageUnavailable):
        settler.settle(proposal, put)

    assert ledger.redis.xlen(ENDED) == 0
    assert ledger.read(job.id).step == "pin"


def test_a_rejected_job_keeps_its_bytes_for_a_while_but_not_its_envelope(settler, stores, job):
    proposal = rejecting(job)

    assert settler.settle(proposal) == proposal

    assert stores.staging.keys() == {job.staged.key, f"outcomes/{job.id}.json"}
    assert stores.primary.keys() == set()
    assert proposal.keep_until is not None


def test_quarantined_bytes_are_in_quarantine_and_leave_staging(settler, stores, job):
    stores.quarantine.put(f"{job.id}/{'a' * 64}", CONTENT)

    settler.settle(quarantining(job))

    assert stores.staging.keys() == {f"outcomes/{job.id}.json"}
    assert stores.quarantine.keys() == {f"{job.id}/{'a' * 64}"}


def test_the_second_of_two_runs_learns_what_was_decided(settler, stores, ledger, job):
    first, put = storing(stores, job)
    settler.settle(first, put)

    assert settler.settle(rejecting(job)) == first

    assert ledger.read(job.id) == Ended(first, Placement.PRIMARY)
    assert ledger.redis.xlen(ENDED) == 1


def test_the_second_run_discards_what_it_put_and_the_outcome_does_not_name(settler, stores, job):
    first, put_first = storing(stores, job)
    second, put_second = storing(stores, job, sha256=OTHER_SHA256)
    settler.settle(first, put_first)

    settler.settle(second, put_second)

    assert stores.primary.keys() == {output(stores, job).key, stores.result_key(job.id)}


def test_a_key_that_the_outcome_names_is_never_discarded_in_any_store(settler, stores, job):
    first, put_first = storing(stores, job, Placement.SECONDARY)
    late, put_late = storing(stores, job, Placement.PRIMARY)
    settler.settle(first, put_first)

    settler.settle(late, put_late)

    assert output(stores, job).key in stores.primary.keys()  # noqa: SIM118 - not a dictionary
    assert output(stores, job).key in stores.secondary.keys()  # noqa: SIM118


def test_what_a_broken_off_run_left_on_the_secondary_is_to_be_cleared(settler, stores, ledger, job):
    sha256 = hashlib.sha256(CONTENT).hexdigest()
    proposal, put = storing(stores, job, sha256=sha256)
    _, strays = storing(stores, job, placed=Placement.SECONDARY, sha256=sha256)

    settler.settle(proposal, [*put, *strays])

    assert [job.id] == list(heal_queue.queued(ledger))
    assert "cleared" == Healer(settler, HealSettings()).heal(job.id)
    assert set() == stores.secondary.keys()
    assert {put[0][1], f"media/{job.id}/result.json"} == stores.primary.keys()


def test_leftovers_that_cannot_be_queued_do_not_keep_a_job_open(
    settler, stores, job, caplog, monkeypatch
):
    sha256 = hashlib.sha256(CONTENT).hexdigest()
    proposal, put = storing(stores, job, sha256=sha256)
    _, strays = storing(stores, job, placed=Placement.SECONDARY, sha256=sha256)

    def out(*_arguments, **_options):
        raise LedgerUnavailable("Redis does not serve us")

    with monkeypatch.context() as patched:
        patched.setattr(heal_queue, "put", out)
        assert JobState.STORED is settler.settle(proposal, [*put, *strays]).state

    assert ["leftovers_not_queued"] == [each.message for each in caplog.records]
    assert Placement.PRIMARY is settler.ledger.read(job.id).location
    assert 1 == find_stranded(settler), "recover finds them"


def test_leftovers_in_a_store_that_is_out_do_not_keep_a_job_open(settler, stores, ledger, job):
    _, put = storing(stores, job)
    stores.primary.out = True

    settler.settle(rejecting(job), put)

    assert ledger.read(job.id).state is JobState.REJECTED
    assert output(stores, job).key in stores.primary.keys()  # noqa: SIM118
    # Whoever heals when the store is back takes them away
    stores.primary.out = False
    assert [job.id] == list(heal_queue.queued(ledger))
    assert "cleared" == Healer(settler, HealSettings()).heal(job.id)
    assert set() == stores.primary.keys()


@pytest.mark.parametrize(("verdict", "alarms"), [("infected", 1), ("not_scanned", 0)])
def test_infected_bytes_that_somebody_stored_raise_an_alarm(
    settler, caplog, stores, verdict, alarms
):
    job = enqueued(settler)
    settler.settle(*storing(stores, job))

    with caplog.at_level(logging.ERROR):
        settler.settle(quarantining(job, verdict))

    assert [record.message for record in caplog.records] == ["stored_but_found_infected"] * alarms


# -- the primary is out --------------------------------------------------------------------


def test_a_job_stored_on_the_secondary_ends_while_the_primary_is_out(settler, stores, ledger, job):
    proposal, put = storing(stores, job, Placement.SECONDARY)
    stores.primary.out = True

    settler.settle(proposal, put)

    assert ledger.read(job.id) == Ended(proposal, Placement.SECONDARY)
    assert stores.secondary.keys() == {output(stores, job).key, stores.result_key(job.id)}


def test_anybody_else_waits_for_the_primary(settler, stores, ledger, job):
    proposal, put = storing(stores, job, Placement.SECONDARY)
    settler.decisions.decide(proposal)
    stores.primary.out = True

    with pytest.raises(StorageUnavailable):
        settler.settle(proposal, put)

    assert ledger.read(job.id).step == "pin"
    assert stores.secondary.keys() == {output(stores, job).key}


@pytest.mark.usefixtures("slow")
def test_whoever_created_the_outcome_waits_too_when_its_lease_is_over(settler, stores, ledger, job):
    proposal, put = storing(stores, job, Placement.SECONDARY)
    stores.primary.out = True

    with pytest.raises(StorageUnavailable):
        settler.settle(proposal, put)

    assert ledger.read(job.id).step == "pin"


def test_a_job_that_was_healed_meanwhile_is_not_published_twice(settler, stores, ledger, job):
    proposal, put = storing(stores, job, Placement.SECONDARY)
    decision = settler.decisions.decide(proposal)
    stores.primary.put(output(stores, job).key, CONTENT)
    stores.primary.put(
        stores.result_key(job.id), decision.outcome.result.model_dump_json().encode()
    )

    settler.settle(proposal, put)

    assert ledger.read(job.id) == Ended(proposal, Placement.PRIMARY)
    assert stores.result_key(job.id) not in stores.secondary.keys()  # noqa: SIM118


def test_a_job_stays_open_while_the_staging_store_is_out(settler, stores, ledger, job):
    stores.staging.out = True

    with pytest.raises(StorageUnavailable):
        settler.settle(rejecting(job))

    assert ledger.read(job.id).step == "pin"


# -- the staged bytes are gone -------------------------------------------------------------


@pytest.mark.parametrize("placed", [Placement.PRIMARY, Placement.SECONDARY])
def test_gone_bytes_of_a_job_that_was_stored_before_mean_stored(settler, stores, ledger, placed):
    job = enqueued(settler)
    before, _ = storing(stores, job, placed)
    result = before.result.model_dump_json().encode()
    stores.at(placed).put(stores.result_key(job.id), result)

    outcome = settler.settle(missing_source(job))

    expected = Outcome(job=job, state=JobState.STORED, result=before.result, placed=placed)
    assert outcome == expected
    assert ledger.read(job.id) == Ended(expected, placed)


def test_gone_bytes_of_a_job_that_was_never_stored_mean_failed(settler, job):
    assert settler.settle(missing_source(job)).state is JobState.FAILED


def test_gone_bytes_decide_nothing_while_a_store_cannot_be_asked(settler, stores, job):
    stores.secondary.out = True

    with pytest.raises(StorageUnavailable):
        settler.settle(missing_source(job))

    assert settler.decisions.outcome(job.id) is None


# -- cancel --------------------------------------------------------------------------------


def test_cancel_in_time_ends_the_job_at_once(settler, stores, ledger, job):
    outcome = settler.cancel(job.id)

    assert outcome.state is JobState.CANCELLED
    assert ledger.read(job.id) == Ended(outcome, None)
    assert stores.staging.keys() == {job.staged.key, f"outcomes/{job.id}.json"}


def test_cancel_needs_neither_primary_nor_secondary(settler, stores, job):
    stores.primary.out = stores.secondary.out = True

    assert settler.cancel(job.id).state is JobState.CANCELLED


def test_cancel_too_late_answers_with_what_came_of_the_job(settler, stores, job):
    stored, put = storing(stores, job)
    settler.settle(stored, put)

    assert settler.cancel(job.id) == stored


def test_cancel_after_the_decision_leaves_the_rest_to_the_worker(settler, stores, ledger, job):
    stored, put = storing(stores, job)
    settler.decisions.decide(stored)

    assert settler.cancel(job.id) == stored

    assert ledger.read(job.id).step == "pin"
    assert settler.settle(stored, put) == stored


def test_a_worker_hears_of_a_cancellation_while_the_staging_store_is_out(
    settler, stores, ledger, job
):
    go = brought_to(ledger, job, "scan")
    stores.staging.out = True

    with pytest.raises(StorageUnavailable):
        settler.cancel(job.id)

    assert ledger.renew(job.id, go.token) == End("cancelled", go.token)


def test_a_job_that_redis_forgot_is_cancelled_by_its_envelope(settler, ledger, job):
    ledger.redis.flushdb()
    ledger.redis.set("test:now", 1_800_000_000_000)

    outcome = settler.cancel(job.id)

    assert outcome.state is JobState.CANCELLED
    assert ledger.read(job.id) == Ended(outcome, None)


def test_a_job_cancelled_between_envelope_and_acceptance_is_never_opened(settler, ledger):
    job = new_job()
    settler.decisions.put_envelope(Envelope(job=job, payload_hash=PAYLOAD))
    outcome = settler.cancel(job.id)

    assert ledger.accept(job, PAYLOAD).outcome == outcome


def test_an_ended_job_that_redis_forgot_answers_with_its_outcome(settler, ledger, job):
    outcome = settler.settle(rejecting(job))
    ledger.redis.delete(f"um:job:{job.id}")

    assert settler.cancel(job.id) == outcome


def test_an_unknown_job_cannot_be_cancelled(settler):
    with pytest.raises(JobNotFound):
        settler.cancel(new_job_id())


def test_cancel_without_a_ledger_changes_nothing(settler, job, monkeypatch):
    def gone(job_id):
        raise LedgerUnavailable("no answer")

    monkeypatch.setattr(settler.ledger, "cancel", gone)

    with pytest.raises(LedgerUnavailable):
        settler.cancel(job.id)

    assert settler.decisions.outcome(job.id) is None


def test_two_outcomes_for_one_job_raise_the_loudest_alarm(settler, ledger, caplog, job):
    settler.settle(rejecting(job))
    settler.stores.staging.delete(f"outcomes/{job.id}.json")

    with caplog.at_level(logging.CRITICAL):
        settler.settle(quarantining(job))

    assert [record.message for record in caplog.records] == ["two_outcomes_for_one_job"]
    assert ledger.read(job.id).state is JobState.REJECTED


def test_clean_up_that_fails_is_left_to_reconcile(settler, stores, ledger, job, monkeypatch):
    def out(*keys):
        raise StorageUnavailable("staging", "timed out")

    with monkeypatch.context() as patch:
        patch.setattr(stores.staging, "delete", out)
        settler.settle(rejecting(job))

    assert ledger.read(job.id).state is JobState.REJECTED
    assert list(settler.decisions.envelope_ids()) == [job.id]
