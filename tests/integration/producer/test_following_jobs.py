"""Status, result, wait and cancel: how a web app follows its jobs."""

import threading
import time

import pytest
import redis
from services.producers import frozen, memory_stores, memory_uploads

from uploadmill.backends.ledger import proposals
from uploadmill.errors import JobNotEnded, JobNotFound, LedgerUnavailable
from uploadmill.ids import new_job_id
from uploadmill.job import JobResult, JobState, JobTimes, Outcome, OutputFile, Placement
from uploadmill.wire import ENVELOPES, OUTCOMES, UPLOADS

CDN = "https://cdn.example.org"


@pytest.fixture
def stores():
    stores = memory_stores()
    stores.primary._shown_at = CDN
    return stores


@pytest.fixture
def uploads(redis_url, stores):
    with memory_uploads(redis_url, stores) as uploads:
        yield uploads


@pytest.fixture
def job_id(uploads):
    return uploads.enqueue(b"a photograph", pipeline="photo", metadata={"album": "7"}).id


@pytest.fixture
def forget(redis_url):
    """Empty Redis."""
    with redis.Redis.from_url(redis_url) as client:
        yield client.flushall


def stored(uploads, job_id, placed=Placement.PRIMARY):
    """End the job as a worker that has stored one output."""
    settler = uploads._clients.settler
    job = settler.decisions.envelope(job_id).job
    key = settler.stores.output_key(job_id, "large-0.jpg")
    stat = settler.stores.at(placed).put(key, b"smaller")
    output = OutputFile(key=key, content_type="image/jpeg", size=stat.size, sha256=stat.sha256)
    result = JobResult(
        job_id=job_id,
        pipeline=job.pipeline,
        state=JobState.STORED,
        metadata=job.metadata,
        outputs={"large": output},
        times=JobTimes(enqueued_at=job.enqueued_at),
    )
    settler.settle(Outcome(job=job, state=JobState.STORED, result=result, placed=placed))


def claimed(uploads, job_id):
    uploads._clients.ledger.claim(job_id, "node-1", "nonce")


def test_a_job_is_accepted_then_running_then_stored(uploads, job_id):
    assert (uploads.status(job_id).state, uploads.status(job_id).step) == ("accepted", "pin")

    claimed(uploads, job_id)
    assert uploads.status(job_id).state is JobState.RUNNING

    stored(uploads, job_id)
    assert uploads.status(job_id).state is JobState.STORED


def test_the_result_says_where_the_outputs_are_now(uploads, job_id):
    stored(uploads, job_id)

    result = uploads.result(job_id)

    output = result.outputs["large"]
    assert result.metadata == {"album": "7"}
    assert (output.store, output.url) == ("primary", f"{CDN}/{job_id}/large-0.jpg")


def test_an_open_job_has_no_result(uploads, job_id):
    with pytest.raises(JobNotEnded) as error:
        uploads.result(job_id)

    assert (error.value.job_id, error.value.state) == (job_id, "accepted")


@pytest.mark.parametrize("unknown", [new_job_id(), "", "../../etc/passwd", "x" * 10_000, "a\0b"])
def test_an_unknown_job_is_not_found_by_any_name(uploads, unknown):
    for ask in (uploads.status, uploads.result, uploads.cancel, uploads.wait):
        with pytest.raises(JobNotFound):
            ask(unknown)


# What Redis has forgotten is read from the stores, in this order.


def test_a_forgotten_job_is_known_by_its_outcome(uploads, job_id, forget):
    stored(uploads, job_id)
    forget()

    assert uploads.result(job_id).outputs["large"].url == f"{CDN}/{job_id}/large-0.jpg"
    assert uploads._clients.ledger.read(job_id).state is JobState.STORED  # remembered again


@pytest.mark.parametrize("placed", [Placement.PRIMARY, Placement.SECONDARY])
def test_then_by_the_result_beside_its_outputs(uploads, stores, job_id, forget, placed):
    stored(uploads, job_id, placed)
    forget()
    stores.staging.delete(f"{OUTCOMES}{job_id}.json")

    assert uploads.result(job_id).outputs["large"].store == placed.value


def test_then_by_its_envelope(uploads, job_id, forget):
    forget()

    assert uploads.status(job_id).state is JobState.ACCEPTED


def test_and_with_nothing_left_it_is_unknown(uploads, stores, job_id, forget):
    forget()
    stores.staging.delete(f"{ENVELOPES}{job_id}.json")

    with pytest.raises(JobNotFound):
        uploads.status(job_id)


def test_a_frozen_redis_is_read_around(uploads, job_id, valkey):
    stored(uploads, job_id)

    with frozen(valkey.pid):
        assert uploads.status(job_id).state is JobState.STORED


# Waiting.


def test_wait_returns_soon_after_the_end(uploads, job_id):
    timer = threading.Timer(0.3, stored, (uploads, job_id))
    timer.start()
    began = time.monotonic()

    result = uploads.wait(job_id, timeout=60)

    assert result.state is JobState.STORED
    assert time.monotonic() - began < 10
    timer.join()


def test_wait_gives_up_when_told(uploads, job_id):
    began = time.monotonic()
    with pytest.raises(JobNotEnded):
        uploads.wait(job_id, timeout=0.2)

    assert 0.2 <= time.monotonic() - began < 10


def test_wait_outlasts_an_outage(uploads, stores, job_id, monkeypatch):
    """With Redis frozen and the stores out too, nobody knows anything for a moment."""
    looks = []

    def look(_job_id):
        looks.append(1)
        if len(looks) == 1:
            raise LedgerUnavailable("no answer")
        return real(_job_id)

    real = uploads.status
    monkeypatch.setattr(uploads, "status", look)
    stored(uploads, job_id)

    assert uploads.wait(job_id, timeout=5).state is JobState.STORED
    assert len(looks) == 2


# Cancelling.


def test_a_job_is_cancelled_in_time(uploads, stores, job_id):
    result = uploads.cancel(job_id)

    assert result.state is JobState.CANCELLED
    assert uploads.result(job_id).state is JobState.CANCELLED
    assert list(stores.staging.list(ENVELOPES)) == []
    assert len(list(stores.staging.list(UPLOADS))) == 1  # kept for a while


def test_a_running_job_is_cancelled_at_once(uploads, job_id):
    claimed(uploads, job_id)

    assert uploads.cancel(job_id).state is JobState.CANCELLED
    assert uploads.status(job_id).state is JobState.CANCELLED


def test_cancelling_twice_is_cancelling_once(uploads, job_id):
    first = uploads.cancel(job_id)

    assert uploads.cancel(job_id) == first


@pytest.mark.parametrize("forgotten", [False, True])
def test_cancelling_too_late_tells_how_the_job_ended(uploads, job_id, forget, forgotten):
    stored(uploads, job_id)
    if forgotten:
        forget()

    assert uploads.cancel(job_id).state is JobState.STORED


def test_a_job_that_only_its_envelope_knows_can_be_cancelled(uploads, job_id, forget):
    forget()

    assert uploads.cancel(job_id).state is JobState.CANCELLED


def test_cancel_says_when_it_does_not_know(uploads, job_id, valkey):
    with frozen(valkey.pid), pytest.raises(LedgerUnavailable):
        uploads.cancel(job_id)


def test_a_failed_job_has_a_result_that_says_why(uploads, job_id):
    settler = uploads._clients.settler
    record = uploads._clients.ledger.read(job_id)
    ending = proposals.from_ending("failed:deadline", record, uploads.settings.ledger)
    settler.settle(ending)

    assert uploads.result(job_id).error.code == "deadline"
