"""Enqueue: what is accepted, what counts as the same, what is refused.

Real Valkey; the stores are in memory, so that each effect can be looked at.
"""

import io
import threading
from datetime import UTC, datetime

import pytest
from services.producers import (
    accepted_once,
    after,
    enqueue,
    keys,
    memory_uploads,
)

from uploadmill.errors import (
    IdempotencyConflict,
    InvalidKey,
    NotAccepted,
    ObjectNotFound,
    SizeLimitExceeded,
    UnknownPipeline,
)
from uploadmill.job import JobState
from uploadmill.wire import QUEUE, UPLOADS


def test_an_enqueued_upload_has_bytes_envelope_record_and_message(uploads, staging, broker):
    upload = io.BytesIO(b"a photograph")
    upload.name = "/tmp/holiday.jpg"

    job = uploads.enqueue(upload, pipeline="photo", metadata={"album": "7"}, owner="user-1")

    assert job.state is JobState.ACCEPTED
    accepted_once(uploads, job)
    kept = uploads._clients.ledger.read(job.id).job
    assert kept.filename == "holiday.jpg"
    assert kept.metadata == {"album": "7"}
    assert kept.owner == "user-1"
    assert kept.deadline == uploads.settings.ledger.deadline
    assert kept.staged.size == 12
    assert kept.staged.etag == staging.stat(kept.staged.key).etag
    assert broker.llen(QUEUE) == 1


def test_without_a_key_every_upload_is_a_job_of_its_own(uploads):
    first = enqueue(uploads, idempotency_key=None)
    second = enqueue(uploads, idempotency_key=None)

    assert first.id != second.id


def test_the_same_key_gives_the_same_job_and_keeps_no_second_bytes(uploads, staging, broker):
    first = enqueue(uploads)

    second = enqueue(uploads)

    assert second == first
    accepted_once(uploads, first)
    assert len(keys(staging, UPLOADS)) == 1
    assert broker.llen(QUEUE) == 2  # the second wakes a worker again, should the first be lost


def test_a_key_belongs_to_its_owner(uploads):
    assert enqueue(uploads, owner="user-1").id != enqueue(uploads, owner="user-2").id


@pytest.mark.parametrize("other", [{"content": b"another"}, {"filename": "x"}, {"owner": None}])
def test_the_same_key_with_another_upload_is_a_conflict(uploads, staging, other):
    job = enqueue(uploads, owner="")

    with pytest.raises(IdempotencyConflict) as conflict:
        enqueue(uploads, **{"owner": "", **other})

    assert conflict.value.job_id == job.id
    assert len(keys(staging, UPLOADS)) == 1
    accepted_once(uploads, job)


def test_many_at_once_with_one_key_are_one_job(uploads, staging):
    together = threading.Barrier(8)
    jobs = []

    def ask():
        together.wait()
        jobs.append(enqueue(uploads))

    threads = [threading.Thread(target=ask) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert len(jobs) == 8
    assert len(set(jobs)) == 1
    accepted_once(uploads, jobs[0])
    assert len(keys(staging, UPLOADS)) == 1


# Staged objects of others.


def test_a_staged_object_is_copied_and_stays(uploads, staging):
    staging.put("inbox/a", b"a photograph")

    job = uploads.enqueue(staged="inbox/a", pipeline="photo", filename="a.jpg")

    accepted_once(uploads, job)
    assert staging.stat("inbox/a").size == 12
    assert uploads._clients.ledger.read(job.id).job.staged.key.startswith(f"{UPLOADS}{job.id}/")


def test_the_same_staged_object_is_one_job_until_it_is_overwritten(uploads, staging):
    staging.put("inbox/a", b"a photograph")
    first = uploads.enqueue(staged="inbox/a", pipeline="photo")
    again = uploads.enqueue(staged="inbox/a", pipeline="photo")
    other = uploads.enqueue(staged="inbox/a", pipeline="avatar")
    staging.put("inbox/a", b"another")
    newer = uploads.enqueue(staged="inbox/a", pipeline="photo")

    assert first == again
    assert len({first.id, other.id, newer.id}) == 3


def test_a_staged_object_overwritten_while_it_is_copied_is_not_accepted(uploads, staging):
    staging.put("inbox/a", b"a photograph")

    with (
        after(staging, "copy", lambda: staging.put("inbox/a", b"another")),
        pytest.raises(NotAccepted, match="overwritten"),
    ):
        uploads.enqueue(staged="inbox/a", pipeline="photo")

    assert keys(staging, "") == ["inbox/a"]


@pytest.mark.parametrize(
    ("key", "error"),
    [
        ("inbox/missing", ObjectNotFound),
        ("../outside", InvalidKey),
        ("envelopes/x.json", InvalidKey),
        ("outcomes/x.json", InvalidKey),
    ],
)
def test_a_staged_key_must_name_an_upload(uploads, staging, key, error):
    staging.put("envelopes/x.json", b"{}")

    with pytest.raises(error):
        uploads.enqueue(staged=key, pipeline="photo")

    assert keys(staging, "") == ["envelopes/x.json"]


# Requests that are wrong, before anything is written.


def test_too_many_bytes_are_refused(redis_url):
    with memory_uploads(redis_url, max_size=10) as uploads:
        staging = uploads._clients.stores.staging
        staging.put("inbox/a", b"a photograph")
        for request in ({"source": b"a photograph"}, {"staged": "inbox/a"}):
            with pytest.raises(SizeLimitExceeded):
                uploads.enqueue(**request, pipeline="photo")

        assert keys(staging, "") == ["inbox/a"]


@pytest.mark.parametrize(
    ("request_", "error"),
    [
        ({"source": b"x", "pipeline": "pohto"}, UnknownPipeline),
        ({"pipeline": "photo"}, TypeError),
        ({"source": b"x", "staged": "inbox/a", "pipeline": "photo"}, TypeError),
        ({"source": object(), "pipeline": "photo"}, TypeError),
        ({"source": b"x", "pipeline": "photo", "metadata": {"a": 1}}, ValueError),
        ({"source": b"x", "pipeline": "photo", "deadline": 0}, ValueError),
        ({"source": b"x", "pipeline": "photo", "deadline": 172_800}, ValueError),
        ({"source": b"x", "pipeline": "photo", "owner": "x" * 256}, ValueError),
        ({"source": b"x", "pipeline": "photo", "owner": 7}, TypeError),
        ({"source": b"x", "pipeline": "photo", "filename": 7}, TypeError),
        ({"source": b"x", "pipeline": "photo", "content_type": 7}, TypeError),
        ({"source": b"x", "pipeline": "photo", "idempotency_key": 7}, TypeError),
        # The same for everybody who has none.
        ({"source": b"x", "pipeline": "photo", "idempotency_key": ""}, ValueError),
        # Half a surrogate pair, as a client's JSON may bring it: it cannot be written down.
        ({"source": b"x", "pipeline": "photo", "metadata": {"a": "\ud800"}}, ValueError),
        ({"source": b"x", "pipeline": "photo", "metadata": {"\ud800": "a"}}, ValueError),
        ({"source": b"x", "pipeline": "photo", "owner": "\ud800"}, ValueError),
        ({"source": b"x", "pipeline": "photo", "idempotency_key": "\ud800"}, ValueError),
    ],
    ids=ascii,
)
def test_a_wrong_request_writes_nothing(uploads, staging, request_, error):
    with pytest.raises(error):
        uploads.enqueue(**request_)

    assert keys(staging, "") == []


def test_an_empty_upload_is_the_pipelines_affair(uploads):
    accepted_once(uploads, uploads.enqueue(b"", pipeline="photo"))


def test_times_are_the_producers(uploads):
    before = datetime.now(UTC)
    job = enqueue(uploads)

    assert before <= uploads._clients.ledger.read(job.id).job.enqueued_at <= datetime.now(UTC)
