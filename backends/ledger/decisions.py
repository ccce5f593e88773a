"""Envelopes and outcomes: the create-only objects in the staging store that decide.

An envelope says that a job is to be done, an outcome how it ended. Each can be created once;
whoever comes second finds out what the first one wrote.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import TypeVar

from uploadmill.backends.storage.base import Storage
from uploadmill.backends.storage.sources import CHUNK
from uploadmill.errors import ObjectExists, ObjectNotFound, StorageUnavailable
from uploadmill.job import Envelope, Outcome
from uploadmill.wire import ENVELOPES, OUTCOMES, UPLOADS

_JSON = "application/json"

_T = TypeVar("_T")


@dataclass(frozen=True, slots=True)
class Decision:
    """An outcome as it stands in the staging store.

    Attributes:
        document: Its very bytes, which never change.
        created: Whether this call wrote it.
    """

    outcome: Outcome
    document: bytes
    created: bool = False

    @property
    def digest(self) -> str:
        """The sha256 of the bytes, in hex."""
        return hashlib.sha256(self.document).hexdigest()


def upload_key(job_id: str, nonce: str) -> str:
    """Where one producer attempt stages a job's bytes; nobody else ever writes there."""
    return f"{UPLOADS}{job_id}/{nonce}"


def read_document(storage: Storage, key: str) -> bytes | None:
    """A small object whole, or None where there is none."""
    try:
        with storage.open(key) as reader:
            return b"".join(iter(lambda: reader.read(CHUNK), b""))
    except ObjectNotFound:
        return None


class Decisions:
    """The staging store as the job protocol uses it."""

    def __init__(self, storage: Storage) -> None:
        self.storage = storage

    def put_envelope(self, envelope: Envelope) -> Envelope:
        """Write the durable intent, or learn which one stands.

        Raises:
            StorageUnavailable: It may stand or not.
        """
        key = f"{ENVELOPES}{envelope.job.id}.json"
        document = envelope.model_dump_json().encode()
        try:
            self.storage.put(key, document, content_type=_JSON, create_only=True)
        except ObjectExists:
            return self._there(self.envelope(envelope.job.id), key)
        return envelope

    def envelope(self, job_id: str) -> Envelope | None:
        """The durable intent, from acceptance to clean-up; None before and after."""
        document = read_document(self.storage, f"{ENVELOPES}{job_id}.json")
        return Envelope.model_validate_json(document) if document is not None else None

    def envelope_ids(self) -> Iterator[str]:
        """The ids of all jobs that are open or not cleaned up."""
        for stat in self.storage.list(ENVELOPES):
            yield stat.key.removeprefix(ENVELOPES).removesuffix(".json")

    def outcome(self, job_id: str) -> Decision | None:
        """How the job ended, or None."""
        document = read_document(self.storage, f"{OUTCOMES}{job_id}.json")
        if document is None:
            return None
        return Decision(Outcome.model_validate_json(document), document)

    def decide(self, proposal: Outcome) -> Decision:
        """Make *proposal* the outcome, or learn the one that stands.

        Raises:
            StorageUnavailable: Nobody knows yet; ask again later.
        """
        key = f"{OUTCOMES}{proposal.job.id}.json"
        document = proposal.model_dump_json().encode()
        unclear = False
        for _repeat in range(2):
            try:
                self.storage.put(key, document, content_type=_JSON, create_only=True)
            except ObjectExists:
                break
            except StorageUnavailable as error:
                if not error.retry_here:
                    raise
                unclear = True
            else:
                return Decision(proposal, document, created=True)
        found = self._there(self.outcome(proposal.job.id), key)
        return replace(found, created=unclear and found.document == document)

    def clean(self, job_id: str, *, staged_bytes: bool) -> None:
        """Remove the envelope of a job that has ended and, if told, its staged bytes.

        The envelope last: as long as it stands, ``reconcile`` comes by again.
        """
        keys = [f"{ENVELOPES}{job_id}.json"]
        if staged_bytes:
            keys[:0] = [stat.key for stat in self.storage.list(f"{UPLOADS}{job_id}/")]
        self.storage.delete(*keys)

    def _there(self, found: _T | None, key: str) -> _T:
        """What was *found* under a key that a write has just called taken, or may have taken."""
        if found is None:
            raise StorageUnavailable(self.storage.name, f"cannot tell whether {key} exists")
        return found
