"""A replay is a new job on a copy of the old one's bytes; the old one stays as it ended."""

from dataclasses import replace

import pytest
from services.memory_stores import Countdown, mortal
from services.memory_stores import Died as Killed
from services.producers import aged, end, enqueue, keys

from uploadmill.backends.ledger import proposals
from uploadmill.backends.ledger.reconcile import reconcile
from uploadmill.errors import (
    AcceptanceUnknown,
    JobNotEnded,
    JobNotFound,
    NotAccepted,
    ReplayRefused,
)
from uploadmill.ids import derived_job_id, new_job_id
from uploadmill.job import JobState, UploadJob
from uploadmill.producer import replaying
from uploadmill.wire import ENVELOPES, QUEUE, UPLOADS

CONTENT = b"a photograph"


@pytest.fixture
def failed(uploads):
    """The id of a job that failed; its bytes are kept."""
    return ended(uploads, JobState.FAILED)


def ended(uploads, state, **request):
    job = enqueue(uploads, CONTENT, owner="anna", metadata={"album": "7"}, **request)
    end(uploads, job.id, state)
    return job.id


def envelope(uploads, job_id):
    return uploads._clients.decisions.envelope(job_id)


def read(storage, key):
    with storage.open(key) as reader:
        return reader.read(100)


@pytest.mark.parametrize("state", [JobState.FAILED, JobState.REJECTED, JobState.CANCELLED])
def test_what_ended_badly_runs_again_as_a_new_job(uploads, staging, broker, state):
    old_id = ended(uploads, state)
    old = uploads._clients.decisions.outcome(old_id)
    broker.delete(QUEUE)

    job = uploads.replay(old_id)

    assert (job.id, job.state) == (derived_job_id(old_id, "replay", "0"), JobState.ACCEPTED)
    record = uploads._clients.ledger.read(job.id)
    assert record.job == envelope(uploads, job.id).job
    assert (record.job.replay_of, record.step) == (old_id, "pin")
    assert record.job.staged.key.startswith(f"{UPLOADS}{job.id}/")
    assert read(staging, record.job.staged.key) == CONTENT
    asked = {"id", "staged", "enqueued_at", "replay_of"}
    assert record.job.model_dump(exclude=asked) == old.outcome.job.model_dump(exclude=asked)
    assert uploads._clients.decisions.outcome(old_id) == old
    assert broker.llen(QUEUE) == 1


def test_its_result_names_the_job_that_it_replays(uploads, failed):
    job = uploads.replay(failed)
    end(uploads, job.id)

    assert uploads.result(job.id).replay_of == failed
    assert uploads.result(failed).replay_of is None


def test_only_a_replay_says_what_it_replays():
    """An older version, which refuses fields it does not know, still reads all other jobs."""
    staged = {"key": "uploads/x", "size": 1}
    facts = {"id": new_job_id(), "pipeline": "photo", "staged": staged}
    job = UploadJob(**facts, enqueued_at="2027-01-15T08:00:00Z")

    assert "replay_of" not in job.model_dump_json()
    assert UploadJob.model_validate_json(job.model_dump_json()) == job


def test_a_replay_that_is_open_is_not_begun_again(uploads, staging, failed):
    first = uploads.replay(failed)

    assert uploads.replay(failed) == first

    assert keys(staging, ENVELOPES) == [f"{ENVELOPES}{first.id}.json"]
    assert len(keys(staging, UPLOADS)) == 2


def test_a_replay_that_ended_badly_too_is_followed_by_another(uploads, failed):
    first = uploads.replay(failed)
    end(uploads, first.id, JobState.FAILED)

    second = uploads.replay(failed)

    assert second.id == derived_job_id(failed, "replay", "1")
    assert envelope(uploads, second.id).job.replay_of == failed


def test_a_replay_that_went_well_is_enough(uploads, staging, failed):
    first = uploads.replay(failed)
    settler = uploads._clients.settler
    stored = proposals.ended_badly(
        envelope(uploads, first.id).job, JobState.QUARANTINED, uploads.settings.ledger
    )
    settler.settle(stored)

    job = uploads.replay(failed)

    assert (job.id, job.state) == (first.id, JobState.QUARANTINED)
    assert keys(staging, ENVELOPES) == []


def test_a_replay_can_be_replayed(uploads, failed):
    first = uploads.replay(failed)
    end(uploads, first.id, JobState.FAILED)

    second = uploads.replay(first.id)

    assert envelope(uploads, second.id).job.replay_of == first.id


# -- refused -------------------------------------------------------------------------------


@pytest.mark.parametrize("state", [JobState.STORED, JobState.QUARANTINED])
def test_a_job_that_did_not_end_badly_is_not_replayed(uploads, staging, state):
    job_id = ended(uploads, JobState.QUARANTINED)
    clients = uploads._clients
    outcome = clients.decisions.outcome(job_id).outcome.model_copy(update={"state": state})
    staging.put(f"outcomes/{job_id}.json", outcome.model_dump_json().encode())

    with pytest.raises(ReplayRefused, match=f"it ended as {state}"):
        uploads.replay(job_id)

    assert keys(staging, ENVELOPES) == []


def test_bytes_that_are_gone_cannot_run_again(uploads, staging, failed):
    staging.delete(*keys(staging, UPLOADS))

    with pytest.raises(ReplayRefused, match="its bytes are no longer kept; upload them again"):
        uploads.replay(failed)

    assert keys(staging, ENVELOPES) == []


@pytest.mark.parametrize("content", [b"another photograph", CONTENT])
def test_bytes_that_were_overwritten_are_not_those_of_the_job(uploads, staging, failed, content):
    staging.put(keys(staging, UPLOADS)[0], content)

    with pytest.raises(ReplayRefused, match="overwritten"):
        uploads.replay(failed)

    assert len(keys(staging, UPLOADS)) == 1


def test_a_copy_that_is_not_like_its_source_is_dropped(uploads, staging, failed, monkeypatch):
    def short(source, target, **options):
        return staging.put(target, CONTENT[:-1])

    monkeypatch.setattr(staging, "copy", short)

    with pytest.raises(NotAccepted, match="is not like them"):
        uploads.replay(failed)

    assert len(keys(staging, UPLOADS)) == 1
    assert keys(staging, ENVELOPES) == []


def test_an_open_job_is_not_replayed(uploads):
    with pytest.raises(JobNotEnded):
        uploads.replay(enqueue(uploads).id)


@pytest.mark.parametrize("job_id", [new_job_id(), "../etc/passwd"])
def test_a_job_that_nobody_knows(uploads, job_id):
    with pytest.raises(JobNotFound):
        uploads.replay(job_id)


def test_a_joined_replay_with_old_bytes_is_not_trusted(uploads, staging, failed):
    first = uploads.replay(failed)
    aged(staging, envelope(uploads, first.id).job.staged.key, hours=13)

    with pytest.raises(AcceptanceUnknown):
        uploads.replay(failed)


# -- a process dies right after each of its calls ------------------------------------------


def test_a_replay_that_died_anywhere_is_taken_up_where_it_stood(uploads, staging, broker):
    clients = uploads._clients
    finished, moment = False, 0
    while not finished:
        moment += 1
        old_id = ended(uploads, JobState.FAILED, idempotency_key=f"upload {moment}")
        dying = replace(clients, settler=mortal(clients.settler, Countdown(moment)))
        try:
            replaying.replay(dying, old_id)
            finished = True
        except Killed:
            if moment % 2:
                broker.flushdb()
            reconcile(clients.settler)

        job = uploads.replay(old_id)

        assert job.id == derived_job_id(old_id, "replay", "0"), f"died after call {moment}"
        standing = envelope(uploads, job.id).job
        assert clients.ledger.read(job.id).job == standing
        assert read(staging, standing.staged.key) == CONTENT
        assert [key for key in keys(staging, ENVELOPES) if job.id not in key] == []
        end(uploads, job.id)
    assert moment >= 8
