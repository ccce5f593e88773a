"""Envelopes and outcomes: whoever comes second learns what the first one wrote."""

import pytest
from services.memory_stores import MoodyStorage, rejecting
from services.timed_ledger import OTHER_SHA256, PAYLOAD, new_job

from uploadmill.backends.ledger.decisions import Decisions, upload_key
from uploadmill.errors import StorageUnavailable
from uploadmill.ids import new_job_id
from uploadmill.job import Envelope


@pytest.fixture
def store():
    return MoodyStorage("staging")


@pytest.fixture
def decisions(store):
    return Decisions(store)


def test_the_first_envelope_stands(decisions):
    first = Envelope(job=new_job(), payload_hash=PAYLOAD)
    second = first.model_copy(update={"payload_hash": OTHER_SHA256})

    assert decisions.put_envelope(first) == first
    assert decisions.put_envelope(second) == first
    assert decisions.envelope(first.job.id) == first
    assert list(decisions.envelope_ids()) == [first.job.id]


def test_no_envelope_no_outcome(decisions):
    assert decisions.envelope(new_job_id()) is None
    assert decisions.outcome(new_job_id()) is None


def test_the_first_of_two_proposals_is_the_outcome(decisions):
    job = new_job()
    first, second = rejecting(job), rejecting(job)

    won = decisions.decide(first)
    lost = decisions.decide(second)

    assert (won.created, lost.created) == (True, False)
    assert lost.outcome == first
    assert lost.digest == won.digest
    assert decisions.outcome(job.id) == lost


def test_the_same_proposal_again_was_created_before(decisions):
    proposal = rejecting(new_job())
    decisions.decide(proposal)

    assert not decisions.decide(proposal).created


@pytest.mark.parametrize("lost_replies", [1, 2])
def test_a_write_whose_reply_was_lost_was_ours_all_the_same(decisions, store, lost_replies):
    proposal = rejecting(new_job())
    store.unclear_writes = lost_replies

    decision = decisions.decide(proposal)

    assert decision.created
    assert decision.outcome == proposal


def test_a_lost_reply_does_not_make_anothers_outcome_ours(decisions, store):
    job = new_job()
    decisions.decide(rejecting(job))
    store.unclear_writes = 1

    assert not decisions.decide(rejecting(job)).created


def test_nobody_decides_while_the_store_is_out(decisions, store):
    job = new_job()
    store.out = True

    with pytest.raises(StorageUnavailable):
        decisions.decide(rejecting(job))

    store.out = False
    assert decisions.outcome(job.id) is None


def test_a_write_that_stays_unclear_is_no_decision(decisions, store, monkeypatch):
    def lost(*args, **kwargs):
        raise StorageUnavailable("staging", "timed out")

    monkeypatch.setattr(store, "put", lost)

    with pytest.raises(StorageUnavailable, match="cannot tell whether outcomes/"):
        decisions.decide(rejecting(new_job()))


def test_a_store_that_refuses_everybody_is_asked_once(decisions, store):
    store.full = True

    with pytest.raises(StorageUnavailable, match="out, says the test"):
        decisions.decide(rejecting(new_job()))


def test_clean_takes_the_envelope_and_if_told_all_staged_bytes_of_this_job(decisions, store):
    job, other = new_job(), new_job()
    for each in (job, other):
        decisions.put_envelope(Envelope(job=each, payload_hash=PAYLOAD))
        store.put(upload_key(each.id, "first"), b"1")
        store.put(upload_key(each.id, "second"), b"2")

    decisions.clean(job.id, staged_bytes=True)
    decisions.clean(other.id, staged_bytes=False)

    assert store.keys() == {upload_key(other.id, "first"), upload_key(other.id, "second")}
