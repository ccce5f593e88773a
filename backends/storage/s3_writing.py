"""Write objects into a bucket: small ones in one request, large ones by parts, two at a time.

An object's sha256 is kept in its metadata, which S3 takes only before the bytes. So it is known
before anything is sent: a small object is held and hashed; of a large one the caller tells it, or
the source is read twice.
"""

from __future__ import annotations

import hashlib
from collections import deque
from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import replace
from typing import Any, cast

from botocore.exceptions import ClientError

from uploadmill.backends.storage.base import CHUNK, Access, ObjectStat, Readable
from uploadmill.backends.storage.hashing import read_up_to
from uploadmill.backends.storage.s3_answers import created, headers
from uploadmill.backends.storage.s3_errors import translated
from uploadmill.backends.storage.s3_objects import S3Objects
from uploadmill.backends.storage.s3_upload import MultipartUpload, base64_of
from uploadmill.backends.storage.skeleton import Write
from uploadmill.errors import IntegrityError, ObjectExists

#: Parts on their way at the same time; each is held in memory. The server works on one while we
#: read and hash the other.
PARALLEL = 2

#: The bytes of a part, and its sha256 where that is known.
_Part = tuple[bytearray, bytes | None]


class S3Writer:
    """Puts objects.

    Args:
        objects: Of the store.
        part_size: Bytes of a part, and of the largest object sent in one request.
    """

    def __init__(self, objects: S3Objects, part_size: int) -> None:
        self._objects = objects
        self._store = objects.store
        self._part_size = part_size

    def write(self, write: Write) -> ObjectStat:
        """Put an object; it becomes visible whole, or nothing is left of it."""
        first = read_up_to(write.reader, self._part_size)
        if len(first) < self._part_size:
            write.reader.verify(self._store, write.key, write.sha256)
            return self._put_small(write, first)
        if write.create_only and self._objects.exists(write.key):
            raise ObjectExists(self._store, write.key)
        if write.sha256 is not None:
            return self._put_parts(write, write.sha256, self._told(write, first))
        digests = self._digests(write, first)
        with write.again() as stream:
            again = self._read_again(write.key, stream, digests)
            return self._put_parts(write, write.reader.sha256, again)

    def _put_small(self, write: Write, content: bytearray) -> ObjectStat:
        """Send an object in one request; the server verifies its sha256."""
        facts = replace(write.facts, sha256=write.reader.sha256)
        with self._objects.deciding(write.key, create_only=write.create_only) as condition:
            answer = self._objects.bucket.sender.put_object(
                **self._objects.address(write.key),
                **headers(facts),
                **acl_of(write.access),
                **condition,
                Body=cast("bytes", content),
                ChecksumSHA256=base64_of(bytes.fromhex(write.reader.sha256)),
            )
        return created(write.key, facts, len(content), answer)

    def _put_parts(self, write: Write, sha256: str, parts: Iterable[_Part]) -> ObjectStat:
        """Send an object part by part; all its bytes are verified before it is visible."""
        facts = replace(write.facts, sha256=sha256)
        with self._objects.multipart(write.key, facts, acl_of(write.access)) as upload:
            self._send(write.key, upload, parts)
            with self._objects.deciding(write.key, create_only=write.create_only) as condition:
                answer = upload.complete(condition)
        return created(write.key, facts, write.reader.size, answer)

    def _told(self, write: Write, first: bytearray) -> Iterator[_Part]:
        """The parts of a source whose sha256 the caller told, verified when all are read."""
        yield first, None
        while part := read_up_to(write.reader, self._part_size):
            yield part, None
        write.reader.verify(self._store, write.key, write.sha256)

    def _digests(self, write: Write, first: bytearray) -> list[bytes]:
        """The sha256 of each part; that of the whole is the reader's when this has ended."""
        digests = [hashlib.sha256(first).digest()]
        first.clear()
        while digest := _next_digest(write.reader, self._part_size):
            digests.append(digest)
        return digests

    def _read_again(self, key: str, stream: Readable, digests: list[bytes]) -> Iterator[_Part]:
        """The parts of a source that was hashed before; it must not have changed since."""
        for digest in digests:
            yield read_up_to(stream, self._part_size), digest
        if stream.read(1):
            raise IntegrityError(self._store, key, "the source has grown while it was read")

    def _send(self, key: str, upload: MultipartUpload, parts: Iterable[_Part]) -> None:
        """Send all parts; none is on its way any more when this ends, however it ends."""
        with ThreadPoolExecutor(PARALLEL, "uploadmill-s3") as pool:
            sending: deque[Future[None]] = deque()
            for number, (content, digest) in enumerate(parts, 1):
                sending.append(pool.submit(self._send_part, key, upload, number, content, digest))
                if len(sending) == PARALLEL:
                    sending.popleft().result()
            for each in sending:
                each.result()

    def _send_part(
        self,
        key: str,
        upload: MultipartUpload,
        number: int,
        content: bytearray,
        expected: bytes | None,
    ) -> None:
        """Send a part and insist that it has arrived with the sha256 *expected*.

        A server that verified it says so. One that does not, or refuses, is not asked: then we
        look ourselves whether the source is still the same.
        """
        with translated(self._store, key):
            try:
                verified = upload.add(number, content, expected or hashlib.sha256(content).digest())
                if not verified:
                    self._insist(key, content, expected)
            except ClientError:
                self._insist(key, content, expected)
                raise
            finally:
                # Now, and not when the next part is read: the memory is needed for that.
                content.clear()

    def _insist(self, key: str, content: bytearray, expected: bytes | None) -> None:
        if expected is not None and hashlib.sha256(content).digest() != expected:
            raise IntegrityError(self._store, key, "the source has changed while it was read")


def _next_digest(stream: Readable, size: int) -> bytes | None:
    """The sha256 of the next *size* bytes, fewer only at the end; None where there are none."""
    digest, left = hashlib.sha256(), size
    while left and (chunk := stream.read(min(CHUNK, left))):
        digest.update(chunk)
        left -= len(chunk)
    return digest.digest() if left < size else None


def acl_of(access: Access | None) -> Mapping[str, Any]:
    """Who may read an object, as an argument of a request that makes it."""
    return {} if access is None else {"ACL": access.value}
