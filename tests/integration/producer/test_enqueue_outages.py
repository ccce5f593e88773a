"""Enqueue while Redis, the broker or the staging store is out."""

import os
import signal
import time

import pytest
import redis
from services.producers import (
    accepted_once,
    after,
    enqueue,
    frozen,
    keys,
    memory_uploads,
)

from uploadmill.backends.ledger.reconcile import reconcile
from uploadmill.errors import (
    AcceptanceUnknown,
    NotAccepted,
    StorageUnavailable,
)
from uploadmill.job import JobState
from uploadmill.wire import ENVELOPES


def test_a_broker_that_takes_no_message_does_not_matter(redis_url, refusing_url):
    with memory_uploads(redis_url, broker_url=refusing_url) as uploads:
        job = uploads.enqueue(b"a photograph", pipeline="photo")

        accepted_once(uploads, job)


def test_a_redis_that_refuses_accepts_nothing(refusing_url):
    with memory_uploads(refusing_url) as uploads:
        began = time.monotonic()
        with pytest.raises(NotAccepted):
            uploads.enqueue(b"a photograph", pipeline="photo")

        assert time.monotonic() - began < 2
        assert keys(uploads._clients.stores.staging, "") == []


@pytest.mark.parametrize("warm", [False, True])
def test_a_redis_in_a_black_hole_accepts_nothing(uploads, staging, valkey, warm):
    if warm:
        uploads._clients.ledger.probe()

    with frozen(valkey.pid):
        began = time.monotonic()
        with pytest.raises(NotAccepted):
            enqueue(uploads)
        took = time.monotonic() - began

    assert took < 2
    assert keys(staging, "") == []


def test_a_redis_without_room_accepts_nothing(uploads, staging, broker):
    broker.config_set("maxmemory", 1)
    try:
        with pytest.raises(NotAccepted, match="OutOfMemory"):
            enqueue(uploads)
    finally:
        broker.config_set("maxmemory", 0)

    assert keys(staging, "") == []


def test_a_black_hole_behind_the_envelope_is_uncertain_and_the_job_runs(uploads, staging, valkey):
    began = time.monotonic()
    try:
        with (
            after(staging, "put", lambda: os.kill(valkey.pid, signal.SIGSTOP), ENVELOPES),
            pytest.raises(AcceptanceUnknown) as unknown,
        ):
            enqueue(uploads)
        took = time.monotonic() - began
    finally:
        os.kill(valkey.pid, signal.SIGCONT)

    assert took < 2
    assert reconcile(uploads._clients.settler).seen == 1
    accepted_once(uploads, enqueue(uploads))
    assert uploads.status(unknown.value.job_id).state is JobState.ACCEPTED


def test_a_staging_store_that_is_out_accepts_nothing(uploads, staging, monkeypatch):
    def out(*_arguments, **_options):
        raise StorageUnavailable("staging", "no answer")

    monkeypatch.setattr(staging, "put", out)
    with pytest.raises(NotAccepted, match="no answer"):
        enqueue(uploads)

    assert keys(staging, "") == []


def test_an_envelope_whose_fate_is_unknown_makes_acceptance_unknown(uploads, staging):
    def lost_reply():
        raise StorageUnavailable("staging", "the reply was lost")

    with after(staging, "put", lost_reply, ENVELOPES), pytest.raises(AcceptanceUnknown):
        enqueue(uploads)

    accepted_once(uploads, enqueue(uploads))


def test_whatever_breaks_behind_the_envelope_is_uncertain(uploads):
    def broken():
        raise redis.ResponseError("WRONGTYPE")

    with (
        after(uploads._clients.ledger, "accept", broken),
        pytest.raises(AcceptanceUnknown, match="ResponseError"),
    ):
        enqueue(uploads)


def test_own_bytes_that_cannot_be_deleted_do_not_matter(uploads, staging, monkeypatch):
    job = enqueue(uploads)

    def out(*_keys):
        raise StorageUnavailable("staging", "no answer")

    monkeypatch.setattr(staging, "delete", out)
    assert enqueue(uploads) == job
