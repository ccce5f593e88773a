"""The order of effects of an enqueue: what a death leaves, what the next producer makes of it."""

import pytest
from services.producers import (
    Died,
    accepted_once,
    after,
    aged,
    die,
    end,
    enqueue,
    keys,
)

from uploadmill.backends.ledger.reconcile import reconcile
from uploadmill.errors import (
    AcceptanceUnknown,
    IdempotencyConflict,
    ObjectExists,
)
from uploadmill.job import JobState
from uploadmill.producer.staging import now
from uploadmill.wire import ENVELOPES, QUEUE, UPLOADS

# Deaths: the producer's process ends after a step, and somebody asks again with the same key.


def test_death_after_the_probe_leaves_nothing(uploads, staging):
    with after(uploads._clients.ledger, "probe", die), pytest.raises(Died):
        enqueue(uploads)
    assert keys(staging, "") == []

    accepted_once(uploads, enqueue(uploads))


def test_death_after_the_bytes_leaves_only_bytes(uploads, staging):
    with after(staging, "put", die, UPLOADS), pytest.raises(Died):
        enqueue(uploads)
    assert keys(staging, ENVELOPES) == []

    accepted_once(uploads, enqueue(uploads))

    assert len(keys(staging, UPLOADS)) == 2  # of the dead one's, gc disposes


def test_death_after_the_envelope_is_healed_by_the_next_producer(uploads, staging):
    with after(staging, "put", die, ENVELOPES), pytest.raises(Died):
        enqueue(uploads)
    [first_bytes] = keys(staging, UPLOADS)

    job = enqueue(uploads)

    accepted_once(uploads, job)
    assert keys(staging, UPLOADS) == [first_bytes]


def test_death_after_the_envelope_is_healed_by_reconcile(uploads, staging):
    with after(staging, "put", die, ENVELOPES), pytest.raises(Died):
        enqueue(uploads)

    done = reconcile(uploads._clients.settler)

    assert done.reopened == 1
    accepted_once(uploads, enqueue(uploads))


def test_death_after_accept_leaves_a_job_that_the_sweeper_finds(uploads, broker):
    with after(uploads._clients.ledger, "accept", die), pytest.raises(Died):
        enqueue(uploads)
    assert broker.llen(QUEUE) == 0
    assert broker.zcard("um:open") == 1

    accepted_once(uploads, enqueue(uploads))
    assert broker.llen(QUEUE) == 1


def test_an_envelope_that_a_repeated_request_finds_is_our_own(uploads, staging):
    """The store's client repeats a PUT whose reply was lost, and finds the key taken."""

    def taken():
        raise ObjectExists("staging", ENVELOPES)

    with after(staging, "put", taken, ENVELOPES):
        job = enqueue(uploads)

    accepted_once(uploads, job)
    assert len(keys(staging, UPLOADS)) == 1


# Ended jobs: an equal request is answered with how they ended.


@pytest.mark.parametrize("forgotten", [False, True])
def test_the_same_key_after_the_end_gives_the_job_as_it_ended(uploads, broker, forgotten):
    job = enqueue(uploads)
    end(uploads, job.id)
    if forgotten:
        broker.flushall()

    again = enqueue(uploads)

    assert (again.id, again.state) == (job.id, JobState.REJECTED)


def test_what_an_equal_request_leaves_after_the_end_goes_with_reconcile(uploads, staging):
    job = enqueue(uploads)
    end(uploads, job.id)
    kept = keys(staging, UPLOADS)

    enqueue(uploads)
    reconcile(uploads._clients.settler)

    assert keys(staging, ENVELOPES) == []
    assert keys(staging, UPLOADS) == kept


def test_the_same_key_after_the_end_with_another_upload_is_a_conflict(uploads, staging):
    job = enqueue(uploads)
    end(uploads, job.id)
    kept = keys(staging, UPLOADS)

    with pytest.raises(IdempotencyConflict):
        enqueue(uploads, content=b"another")

    assert keys(staging, UPLOADS) == kept


def test_a_job_that_ends_while_it_is_joined(uploads, staging):
    job = enqueue(uploads)

    with after(uploads._clients.decisions, "outcome", lambda: end(uploads, job.id)):
        assert enqueue(uploads).state is JobState.REJECTED

    assert len(keys(staging, UPLOADS)) == 1


def test_a_joined_job_that_ends_just_after_accept(uploads, staging):
    job = enqueue(uploads)

    with after(uploads._clients.ledger, "accept", lambda: end(uploads, job.id)):
        assert enqueue(uploads).state is JobState.REJECTED

    assert len(keys(staging, UPLOADS)) == 1


def test_a_job_that_ends_before_its_own_producer_accepts_it_keeps_its_bytes(uploads, staging):
    staged = uploads.stage(b"a photograph", pipeline="photo")

    def taken_on_and_ended():
        reconcile(uploads._clients.settler)
        end(uploads, staged.id)

    with after(staging, "put", taken_on_and_ended, ENVELOPES):
        job = uploads.accept(staged)

    assert (job.id, job.state) == (staged.id, JobState.REJECTED)
    assert keys(staging, UPLOADS) == [staged.key]


# Joining: an envelope is trusted only while it stands, with bytes that will not be collected.


def test_a_joined_envelope_that_vanishes_without_an_outcome_is_uncertain(uploads, staging):
    job = enqueue(uploads)
    envelope = f"{ENVELOPES}{job.id}.json"

    with (
        after(uploads._clients.ledger, "accept", lambda: staging.delete(envelope)),
        pytest.raises(AcceptanceUnknown) as unknown,
    ):
        enqueue(uploads)

    assert unknown.value.job_id == job.id
    assert len(keys(staging, UPLOADS)) == 2  # the joiner's own bytes stay


def test_a_joined_envelope_with_old_bytes_is_not_trusted(uploads, staging):
    enqueue(uploads)
    aged(staging, *keys(staging, UPLOADS), hours=13)

    with pytest.raises(AcceptanceUnknown, match="are old"):
        enqueue(uploads)

    assert len(keys(staging, UPLOADS)) == 2


def test_a_joined_envelope_without_bytes_is_not_trusted(uploads, staging):
    enqueue(uploads)
    staging.delete(*keys(staging, UPLOADS))

    with pytest.raises(AcceptanceUnknown):
        enqueue(uploads)


def test_a_producer_that_was_too_slow_does_not_accept(uploads, staging, monkeypatch):
    staged = uploads.stage(b"a photograph", pipeline="photo")
    later = now() + uploads.settings.ledger.stage_fresh
    monkeypatch.setattr("uploadmill.producer.staging.now", lambda: later)

    with pytest.raises(AcceptanceUnknown, match="too old"):
        uploads.accept(staged)

    assert uploads._clients.ledger.read(staged.id) is None
    assert len(keys(staging, ENVELOPES)) == 1  # never taken back
