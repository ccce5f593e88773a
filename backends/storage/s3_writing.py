"""Write objects into a bucket, whole or not at all.

An object's sha256 is kept in its metadata, which S3 takes only before the bytes. So it is known
before anything is sent: a small object is held and hashed; of a larger one the caller tells it, or
the source is read twice. What is sent is hashed again on its way.

Who may read an object is asked for where an upload by parts begins. So a bucket that refuses that
does so before a byte of the object is sent, and one that is put with an access level goes by parts,
however small it is.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from uploadmill.backends.storage.arguments import Write
from uploadmill.backends.storage.body import PIECE
from uploadmill.backends.storage.facts import Facts
from uploadmill.backends.storage.hashing import HashingReader, read_up_to
from uploadmill.backends.storage.objects import ObjectStat
from uploadmill.backends.storage.s3_answers import created, headers
from uploadmill.backends.storage.s3_body import HeldBody, StreamedBody
from uploadmill.backends.storage.s3_errors import translated
from uploadmill.backends.storage.s3_objects import S3Objects
from uploadmill.backends.storage.s3_parts import PartSender
from uploadmill.backends.storage.s3_upload import MultipartUpload, base64_of
from uploadmill.errors import ObjectExists, StorageUnavailable

#: Bytes of the largest object that is streamed in one request where its size is known: one that
#: is broken off starts over, and S3 serves several connections faster than one.
STREAM_LIMIT = 64 << 20


class S3Writer:
    """Puts objects.

    Args:
        objects: Of the store.
        part_size: Bytes of a part, and more than the largest object that is held in memory.
        stream_limit: Bytes of the largest object streamed in one request.
    """

    def __init__(self, objects: S3Objects, part_size: int, stream_limit: int) -> None:
        self._objects = objects
        self._store = objects.store
        self._part_size = part_size
        self._stream_limit = stream_limit

    def write(self, write: Write) -> ObjectStat:
        """Put an object; it becomes visible whole, or nothing is left of it."""
        first = read_up_to(write.reader, self._part_size)
        if len(first) < self._part_size:
            write.reader.verify(self._store, write.key, write.sha256)
            put = self._put_held if write.access is None else self._put_part
            return put(write, first)
        if write.create_only and self._objects.exists(write.key):
            raise ObjectExists(self._store, write.key)
        size = write.reader.total()
        if size is None or size > self._stream_limit or write.access is not None:
            return self._put_parts(write, first)
        del first
        return self._put_streamed(write, size)

    def _put_held(self, write: Write, content: bytearray) -> ObjectStat:
        """Send an object that is in memory; the server verifies its sha256."""
        facts = replace(write.facts, sha256=write.reader.sha256)
        # What is one piece goes as bytes: before a stream boto3 waits to be told to go on.
        body = content if len(content) <= PIECE else HeldBody(content)
        return self._put(write, facts, body, len(content))

    def _put_streamed(self, write: Write, size: int) -> ObjectStat:
        """Send an object in one request while it is read; the server verifies its sha256 too."""
        sha256 = write.sha256
        if sha256 is None:
            write.reader.drain()
            sha256, size = write.reader.sha256, write.reader.size
        facts = replace(write.facts, sha256=sha256)
        with write.again() as stream:
            reader = HashingReader(stream, write.reader.max_size)
            body = StreamedBody(self._store, write.key, reader, size, sha256)
            try:
                return self._put(write, facts, body, size)
            except StorageUnavailable:
                if body.failure is not None:
                    raise body.failure from None
                raise

    def _put(self, write: Write, facts: Facts, body: Any, size: int) -> ObjectStat:
        with self._objects.deciding(write.key, create_only=write.create_only) as condition:
            answer = self._objects.bucket.sender.put_object(
                **self._objects.address(write.key),
                **headers(facts),
                **condition,
                Body=body,
                ContentLength=size,
                ChecksumSHA256=base64_of(bytes.fromhex(facts.sha256 or "")),
            )
            return created(write.key, facts, size, answer)

    def _put_part(self, write: Write, content: bytearray) -> ObjectStat:
        """Send an object that is in memory as a single part, which may be empty."""
        facts = replace(write.facts, sha256=write.reader.sha256)
        with self._objects.multipart(write.key, facts, write.access) as upload:
            with translated(self._store, write.key):
                upload.add(1, content, bytes.fromhex(write.reader.sha256))
            return self._completed(write, upload, facts, len(content))

    def _put_parts(self, write: Write, first: bytearray) -> ObjectStat:
        """Send an object part by part; all its bytes are verified before it is visible."""
        sender = PartSender(self._store, write, self._part_size)
        if write.sha256 is None:
            sender.hash_rest(first)
        first.clear()
        facts = replace(write.facts, sha256=sender.sha256)
        with self._objects.multipart(write.key, facts, write.access) as upload:
            sender.send(upload)
            return self._completed(write, upload, facts, sender.size)

    def _completed(
        self, write: Write, upload: MultipartUpload, facts: Facts, size: int
    ) -> ObjectStat:
        """Make an object of its parts."""
        with self._objects.deciding(write.key, create_only=write.create_only) as condition:
            return created(write.key, facts, size, upload.complete(condition))
