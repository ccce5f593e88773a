"""Send the parts of a source, two at a time, and know that they are the bytes that were hashed."""

from __future__ import annotations

import hashlib
from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from itertools import cycle

from botocore.exceptions import ClientError

from uploadmill.backends.storage.arguments import Write
from uploadmill.backends.storage.hashing import HashingReader
from uploadmill.backends.storage.s3_errors import translated
from uploadmill.backends.storage.s3_upload import MultipartUpload
from uploadmill.backends.storage.sources import CHUNK, Readable
from uploadmill.errors import IntegrityError

#: Parts on their way at the same time; each is held in memory. The server works on one while we
#: read and hash the other.
PARALLEL = 2


@dataclass(frozen=True, slots=True)
class _Part:
    """A part on its way.

    Attributes:
        number: From 1.
        content: In a buffer that the next part but one will use again.
        sha256: Where it is known beforehand.
    """

    number: int
    content: memoryview
    sha256: bytes | None


class PartSender:
    """Sends one source.

    Args:
        store: For messages.
        write: Opens the source, and says what it should be.
        part_size: In bytes.
    """

    def __init__(self, store: str, write: Write, part_size: int) -> None:
        self._store = store
        self._write = write
        self._part_size = part_size
        self._digests: list[bytes] | None = None
        self.sha256 = write.sha256 or ""
        self.size = 0

    def hash_rest(self, first: bytearray) -> None:
        """Read on after the *first* part, for the sha256 of the whole and of each part."""
        reader = self._write.reader
        self._digests = [hashlib.sha256(first).digest()]
        while digest := _next_digest(reader, self._part_size):
            self._digests.append(digest)
        self.sha256, self.size = reader.sha256, reader.size

    def send(self, upload: MultipartUpload) -> None:
        """Send all parts; none is on its way any more when this ends, however it ends.

        Raises:
            IntegrityError: The bytes are not those that were expected, or hashed.
        """
        with (
            self._write.again() as stream,
            ThreadPoolExecutor(PARALLEL, "uploadmill-s3") as pool,
        ):
            sending: deque[Future[None]] = deque()
            parts = self._told(stream) if self._digests is None else self._again(stream)
            for part in parts:
                sending.append(pool.submit(self._send_part, upload, part))
                if len(sending) == PARALLEL:
                    sending.popleft().result()
            for each in sending:
                each.result()

    def _told(self, stream: Readable) -> Iterator[_Part]:
        """The parts of a source whose sha256 the caller told; verified when all are read."""
        reader = HashingReader(stream, self._write.reader.max_size)
        for number, content in enumerate(self._pieces(reader), 1):
            yield _Part(number, content, None)
        reader.verify(self._store, self._write.key, self.sha256)
        self.size = reader.size

    def _again(self, stream: Readable) -> Iterator[_Part]:
        """The parts of a source that was hashed before; it must not have changed since."""
        digests = self._digests or []
        number = 0
        for number, content in enumerate(self._pieces(stream), 1):
            if number > len(digests):
                raise self._changed()
            yield _Part(number, content, digests[number - 1])
        if number != len(digests):
            raise self._changed()

    def _pieces(self, stream: Readable) -> Iterator[memoryview]:
        """The content of each part, in buffers that are used in turn."""
        for buffer in cycle([memoryview(bytearray(self._part_size)) for _ in range(PARALLEL)]):
            if size := _fill(buffer, stream):
                yield buffer[:size]
            if size < self._part_size:
                return

    def _send_part(self, upload: MultipartUpload, part: _Part) -> None:
        """Send a part and insist that it has arrived with the sha256 it should have.

        A server that verified it says so. One that does not, or refuses, is not asked: then we
        look ourselves whether the source is still the same.
        """
        sha256 = part.sha256 or hashlib.sha256(part.content).digest()
        with translated(self._store, self._write.key):
            try:
                if not upload.add(part.number, part.content, sha256):
                    self._insist(part)
            except ClientError:
                self._insist(part)
                raise

    def _insist(self, part: _Part) -> None:
        if part.sha256 not in (None, hashlib.sha256(part.content).digest()):
            raise self._changed()

    def _changed(self) -> IntegrityError:
        detail = "the source has changed while it was read"
        return IntegrityError(self._store, self._write.key, detail)


def _fill(buffer: memoryview, stream: Readable) -> int:
    """How many bytes of *buffer* were filled; fewer than all only at the end of *stream*."""
    filled = 0
    while filled < len(buffer) and (chunk := stream.read(min(CHUNK, len(buffer) - filled))):
        buffer[filled : filled + len(chunk)] = chunk
        filled += len(chunk)
    return filled


def _next_digest(stream: Readable, size: int) -> bytes | None:
    """The sha256 of the next *size* bytes, fewer only at the end; None where there are none."""
    digest, left = hashlib.sha256(), size
    while left and (chunk := stream.read(min(CHUNK, left))):
        digest.update(chunk)
        left -= len(chunk)
    return digest.digest() if left < size else None
