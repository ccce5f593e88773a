"""The first half of an enqueue: the bytes go into the staging store, nothing is accepted yet."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime

from uploadmill.backends.ledger.decisions import upload_key
from uploadmill.backends.storage.base import Storage
from uploadmill.backends.storage.objects import ObjectStat
from uploadmill.errors import InvalidKey, NotAccepted, SizeLimitExceeded, TransientError
from uploadmill.ids import derived_job_id, new_job_id, new_nonce
from uploadmill.job import Envelope, StagedObject, UploadJob
from uploadmill.producer.clients import Clients
from uploadmill.producer.payload import payload_hash
from uploadmill.producer.sources import MAX_NAME, MAX_TYPE, Upload, fitting, readable
from uploadmill.wire import ENVELOPES, OUTCOMES

#: Folders of the staging store that no caller may name as a staged object.
PRIVATE = (ENVELOPES, OUTCOMES)

#: Suspended time counts too, where the system has a clock for that: bytes age meanwhile.
_CLOCK = getattr(time, "CLOCK_BOOTTIME", None)


@dataclass(frozen=True, slots=True)
class Request:
    """What a caller asks for, apart from the bytes; see :meth:`Uploads.enqueue`.

    Raises:
        TypeError: A name, a type, an owner or an idempotency key is no text.
        ValueError: The idempotency key is empty: it would be the same for all.
    """

    pipeline: str
    filename: str | None = None
    content_type: str | None = None
    metadata: Mapping[str, str] | None = None
    owner: str | None = None
    idempotency_key: str | None = None
    deadline: float | None = None

    def __post_init__(self) -> None:
        for name in ("filename", "content_type", "owner", "idempotency_key"):
            value = getattr(self, name)
            if not isinstance(value, str | None):
                raise TypeError(f"{name} must be text, not {type(value).__name__}")
        if self.idempotency_key == "":
            raise ValueError("an idempotency key must not be empty; give None for no key")


@dataclass(frozen=True, slots=True)
class Staged:
    """Staged bytes and the job that waits to be accepted; for use in the process that made it.

    Attributes:
        envelope: The durable intent as it will be written.
        derived: Whether another request may have the same job id.
        since: When staging began, by :func:`now`.
    """

    envelope: Envelope
    derived: bool
    since: float

    @property
    def id(self) -> str:
        """The job's id."""
        return self.envelope.job.id

    @property
    def key(self) -> str:
        """Where the bytes are, in the staging store."""
        return self.envelope.job.staged.key

    @property
    def age(self) -> float:
        """Seconds since staging began."""
        return now() - self.since


def now() -> float:
    """Seconds on a clock that nobody sets."""
    return time.monotonic() if _CLOCK is None else time.clock_gettime(_CLOCK)


def stage(clients: Clients, request: Request, upload: Upload, staged: str | None) -> Staged:
    """Steps 1 and 2 of the order of effects; the numbers are those of docs/design.md.

    Raises:
        NotAccepted: The ledger or the staging store is out; there is no envelope.
        SizeLimitExceeded: There are more bytes than ``max_size``.
        ObjectNotFound: There is no object under the key *staged*.
        InvalidKey: *staged* is no key that a client may name.
    """
    with nothing_accepted():
        clients.ledger.probe()  # 1
        staging = clients.stores.staging
        limit = clients.settings.max_size
        foreign = None if staged is None else _foreign(staging, staged, limit)
        draft, derived = _draft(clients, request, foreign)
        since = now()
        if foreign is None:
            with readable(upload, limit) as source:
                stat = staging.put(draft.staged.key, source, max_size=limit)  # 2
        else:
            stat = copy_staged(staging, foreign, draft.staged.key)  # 2
    job = draft.model_copy(update={"staged": bound(stat)})
    return Staged(Envelope(job=job, payload_hash=payload_hash(job, foreign)), derived, since)


@contextmanager
def nothing_accepted() -> Iterator[None]:
    """Before the envelope stands, an outage only means that nothing will run."""
    try:
        yield
    except TransientError as error:
        raise NotAccepted(f"the upload was not accepted: {error}") from error


def _draft(
    clients: Clients, request: Request, foreign: StagedObject | None
) -> tuple[UploadJob, bool]:
    """The job as far as it is known before its bytes are, and whether its id is derived."""
    ledger = clients.settings.ledger
    deadline = ledger.deadline if request.deadline is None else request.deadline
    if deadline >= ledger.workspace_max:
        raise ValueError(f"a deadline must be below {ledger.workspace_max:g} s (workspace_max)")
    job_id = _derived_id(request, foreign)
    derived = job_id is not None
    job_id = job_id or new_job_id()
    job = UploadJob(
        id=job_id,
        pipeline=request.pipeline,
        staged=StagedObject(key=upload_key(job_id, new_nonce()), size=0),
        filename=fitting(request.filename, MAX_NAME),
        declared_type=fitting(request.content_type, MAX_TYPE),
        metadata=dict(request.metadata or {}),
        owner=request.owner,
        deadline=deadline,
        enqueued_at=datetime.now(UTC),
    )
    return job, derived


def _derived_id(request: Request, foreign: StagedObject | None) -> str | None:
    """The id that an equal request would get too, or None where nothing makes two equal."""
    if request.idempotency_key is not None:
        return derived_job_id(request.owner or "", request.idempotency_key)
    if foreign is not None:
        return derived_job_id(foreign.store, foreign.key, foreign.etag or "", request.pipeline)
    return None


def _foreign(staging: Storage, key: str, limit: int) -> StagedObject:
    """The object that the caller, or the caller's client, has staged."""
    folder = key.partition("/")[0] + "/"
    if folder in PRIVATE:
        raise InvalidKey(staging.name, key, f"{folder} holds no uploads")
    stat = staging.stat(key)
    if stat.size > limit:
        raise SizeLimitExceeded(limit, stat.size)
    return bound(stat)


def copy_staged(staging: Storage, foreign: StagedObject, key: str) -> ObjectStat:
    """Copy a foreign object to where nobody else writes; it must stay the one that was seen."""
    stat = staging.copy(foreign.key, key)
    if staging.stat(foreign.key).etag != foreign.etag:
        staging.delete(key)
        raise NotAccepted(f"the staged object {foreign.key!r} was overwritten meanwhile")
    return stat


def bound(stat: ObjectStat) -> StagedObject:
    """The reference to just this state of an object."""
    return StagedObject(
        key=stat.key, etag=stat.etag, version=stat.version, size=stat.size, sha256=stat.sha256
    )
