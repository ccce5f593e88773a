"""Put objects into a bucket of Google's, whole or not at all.

An object's sha256 travels in front of its bytes, so it must be known before they are sent: a small
object is held and hashed; a large one is read once for its sha256, unless the caller gave that, and
once to be sent. It could be noted afterwards as well, but a process killed in between would leave
an object without it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

from google.api_core.exceptions import PreconditionFailed

from uploadmill.backends.storage.arguments import Write
from uploadmill.backends.storage.facts import Facts
from uploadmill.backends.storage.features import Access
from uploadmill.backends.storage.gcs_answers import resource
from uploadmill.backends.storage.gcs_errors import refuses_access, translated
from uploadmill.backends.storage.gcs_objects import GoogleObjects
from uploadmill.backends.storage.gcs_upload import NewObject, ResumableUpload, insert
from uploadmill.backends.storage.hashing import HashingReader, read_up_to
from uploadmill.backends.storage.objects import ObjectStat
from uploadmill.errors import ObjectExists

#: Google's words. Whoever the project's roles let read may do so in both cases.
_ACL = {Access.PRIVATE: "projectPrivate", Access.PUBLIC_READ: "publicRead"}


class GoogleWriter:
    """Puts objects.

    Args:
        objects: Of the store.
        chunk_size: Bytes of a chunk, and more than the largest object that is sent in one request.
    """

    def __init__(self, objects: GoogleObjects, chunk_size: int) -> None:
        self._objects = objects
        self._store = objects.store
        self._chunk_size = chunk_size

    def write(self, write: Write) -> ObjectStat:
        """Put an object; it becomes visible whole or not at all."""
        # Asked now: an outage after the upload would deny an object that was made.
        self._objects.lacks()
        content = read_up_to(write.reader, self._chunk_size)
        if len(content) < self._chunk_size:
            write.reader.verify(self._store, write.key, write.sha256)
            return self._small(write, content)
        del content
        if write.create_only and self._objects.exists(write.key):
            raise ObjectExists(self._store, write.key)
        if write.sha256 is None:
            write.reader.drain()
        return self._large(write, write.sha256 or write.reader.sha256)

    def _small(self, write: Write, content: bytearray) -> ObjectStat:
        """Send an object in one request."""
        facts = replace(write.facts, sha256=write.reader.sha256)
        with self._deciding(write):
            answer = insert(self._objects.bucket, self._new(write, facts), content)
        return self._objects.created(write.key, facts, len(content), answer)

    def _large(self, write: Write, sha256: str) -> ObjectStat:
        """Send an object by chunks; its whole sha256 is verified before it is visible."""
        facts = replace(write.facts, sha256=sha256)
        with write.again() as stream, self._resumable(write, facts) as upload:
            reader = HashingReader(stream, write.reader.max_size)
            answer = None
            while answer is None:
                answer = self._send_chunk(write, reader, upload, sha256)
        return self._objects.created(write.key, facts, reader.size, answer)

    def _send_chunk(
        self, write: Write, reader: HashingReader, upload: ResumableUpload, sha256: str
    ) -> Mapping[str, Any] | None:
        """Send the next chunk; after the last one, what became of it."""
        chunk = read_up_to(reader, self._chunk_size)
        last = not reader.peek(1)
        if last:
            reader.verify(self._store, write.key, sha256)
        with self._deciding(write):
            return upload.send(chunk, last=last)

    def _new(self, write: Write, facts: Facts) -> NewObject:
        conditions: dict[str, Any] = {"ifGenerationMatch": 0} if write.create_only else {}
        if write.access is not None:
            conditions["predefinedAcl"] = _ACL[write.access]
        return NewObject(resource(self._objects.prefix + write.key, facts), conditions)

    @contextmanager
    def _resumable(self, write: Write, facts: Facts) -> Iterator[ResumableUpload]:
        """An upload that is cancelled when the ``with`` is left by an error."""
        with self._deciding(write):
            upload = ResumableUpload(self._objects.bucket, self._new(write, facts))
        try:
            yield upload
        except BaseException:
            upload.cancel()
            raise

    @contextmanager
    def _deciding(self, write: Write) -> Iterator[None]:
        """Around the requests of an upload: what it means when their condition does not hold."""
        with translated(self._store, write.key):
            try:
                yield
            except PreconditionFailed as error:
                if write.create_only and not refuses_access(error):
                    raise ObjectExists(self._store, write.key) from error
                raise
