"""Producers for tests: on memory stores that can be looked into, and deaths at chosen moments."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import timedelta
from typing import Any

from uploadmill.backends.ledger import proposals
from uploadmill.backends.ledger.ledger import Ledger
from uploadmill.backends.ledger.settle import Settler
from uploadmill.backends.storage.memory import MemoryStorage
from uploadmill.backends.storage.roles import Stores
from uploadmill.job import JobState
from uploadmill.producer import Uploads
from uploadmill.producer.acceptance import Job
from uploadmill.producer.clients import Clients
from uploadmill.producer.publish import Publisher
from uploadmill.settings import Settings
from uploadmill.wire import ENVELOPES, PRODUCER_TIMEOUT


class Died(BaseException):
    """The producer's process is gone: no handler of the product may see this."""


def memory_stores() -> Stores:
    return Stores(*map(MemoryStorage, ("staging", "primary", "secondary", "quarantine")))


@contextmanager
def memory_uploads(
    redis_url: str, stores: Stores | None = None, **settings: Any
) -> Iterator[Uploads]:
    """A producer whose stores are in memory; ``uploads.clients`` are what it works with."""
    stores = stores or memory_stores()

    def connect(settings: Settings) -> Clients:
        ledger = Ledger(settings.redis_url, settings.ledger, timeout=PRODUCER_TIMEOUT)
        return Clients(settings, Settler(ledger, stores), Publisher(settings.broker_url))

    uploads = Uploads(Settings(redis_url=redis_url, **settings), connect=connect)
    try:
        yield uploads
    finally:
        uploads.close()


@contextmanager
def after(target: object, method: str, then: Callable[[], Any], key: str = "") -> Iterator[None]:
    """In this block call *then* once *method* has done its work, on a key that begins so."""
    original = getattr(target, method)

    def watched(*arguments: Any, **options: Any) -> Any:
        answer = original(*arguments, **options)
        if not key or arguments[0].startswith(key):
            setattr(target, method, original)
            then()
        return answer

    setattr(target, method, watched)
    try:
        yield
    finally:
        delattr(target, method)


def die() -> None:
    raise Died


def aged(storage: MemoryStorage, key: str, **ago: float) -> None:
    """Make the store believe that it has had an object for a while."""
    found = storage._objects[key]
    stat = replace(found.stat, modified=found.stat.modified - timedelta(**ago))
    storage._objects[key] = replace(found, stat=stat)


def keys(storage: MemoryStorage, prefix: str) -> list[str]:
    return [stat.key for stat in storage.list(prefix)]


def enqueue(uploads: Uploads, content: bytes = b"a photograph", **request: Any) -> Job:
    """Enqueue with a key, always the same unless the test says otherwise."""
    request = {"pipeline": "photo", "idempotency_key": "checkout-17", **request}
    return uploads.enqueue(content, **request)


def end(uploads: Uploads, job_id: str, state: JobState = JobState.REJECTED) -> None:
    """End a job as a worker would."""
    settler = uploads._clients.settler
    job = settler.decisions.envelope(job_id).job
    settler.settle(proposals.ended_badly(job, state, uploads.settings.ledger))


def accepted_once(uploads: Uploads, job: Job) -> None:
    """Assert one envelope, one record, and that the bytes which they name are there."""
    clients = uploads._clients
    staging = clients.stores.staging
    envelope = clients.decisions.envelope(job.id)
    assert keys(staging, ENVELOPES) == [f"{ENVELOPES}{job.id}.json"]
    assert clients.ledger.read(job.id).job == envelope.job
    assert staging.stat(envelope.job.staged.key).sha256 == envelope.job.staged.sha256


@contextmanager
def frozen(pid: int) -> Iterator[None]:
    """A black hole: the server's process stands still, its sockets stay open."""
    os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(pid, signal.SIGCONT)
