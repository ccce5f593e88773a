"""Hash and count bytes while they stream past."""

from __future__ import annotations

import hashlib
import io
from typing import Any

from uploadmill.backends.storage.reader import Reader
from uploadmill.backends.storage.sources import CHUNK, Readable
from uploadmill.errors import IntegrityError, SizeLimitExceeded


class HashingReader:
    """A stream that knows the sha256 and the number of the bytes read through it.

    Args:
        stream: Where the bytes come from.
        max_size: In bytes; reading more raises.
    """

    def __init__(self, stream: Readable, max_size: int | None = None) -> None:
        self._stream = stream
        self._hash = hashlib.sha256()
        self._ahead = b""
        self.max_size = max_size
        self.size = 0

    def read(self, size: int, /) -> bytes:
        """At most *size* bytes; ``b""`` only at the end.

        Raises:
            SizeLimitExceeded: There are more than *max_size*.
        """
        chunk, self._ahead = self._ahead[:size], self._ahead[size:]
        chunk = chunk or self._next(size)
        self._hash.update(chunk)
        self.size += len(chunk)
        if self.max_size is not None and self.size > self.max_size:
            raise SizeLimitExceeded(self.max_size)
        return chunk

    def peek(self, size: int) -> bytes:
        """The next *size* bytes, fewer only at the end, without reading past them."""
        while len(self._ahead) < size and (more := self._next(size - len(self._ahead))):
            self._ahead += more
        return self._ahead[:size]

    def _next(self, size: int) -> bytes:
        chunk = self._stream.read(size)
        if not isinstance(chunk, bytes | bytearray | memoryview):
            what = type(chunk).__name__
            raise TypeError(f"a source gives bytes, and this one gave {what}; open files with 'rb'")
        return chunk

    def total(self) -> int | None:
        """Bytes read and still to come; None where the stream cannot tell."""
        stream: Any = self._stream
        if not (hasattr(stream, "seekable") and stream.seekable()):
            return None
        position: int = stream.tell()
        end: int = stream.seek(0, io.SEEK_END)
        stream.seek(position)
        return self.size + len(self._ahead) + end - position

    @property
    def sha256(self) -> str:
        """Of the bytes read so far, in hex."""
        return self._hash.hexdigest()

    def drain(self) -> None:
        """Read to the end."""
        while self.read(CHUNK):
            pass

    def verify(self, store: str, key: str, sha256: str | None) -> None:
        """Compare with what the bytes should have.

        Raises:
            IntegrityError: They have another sha256.
        """
        if sha256 is not None and sha256.lower() != self.sha256:
            raise IntegrityError(store, key, f"sha256 {self.sha256}, expected {sha256}")


def read_up_to(stream: Readable, size: int) -> bytearray:
    """*size* bytes in one piece, fewer only at the end of *stream*."""
    piece = bytearray()
    while len(piece) < size and (chunk := stream.read(min(CHUNK, size - len(piece)))):
        piece += chunk
    return piece


class VerifiedReader:
    """An open object whose bytes must be, at their end, those that were put.

    Args:
        store: For messages.
        reader: Of the whole object.
        sha256: What they should have; None where nobody knows.
    """

    def __init__(self, store: str, reader: Reader, sha256: str | None) -> None:
        self.stat = reader.stat
        self._store = store
        self._sha256 = sha256
        self._hashed = HashingReader(reader)

    def read(self, size: int, /) -> bytes:
        """At most *size* bytes; ``b""`` only at the end.

        Raises:
            IntegrityError: The end is reached, and the bytes have another sha256.
        """
        chunk = self._hashed.read(size)
        if self._hashed.size == self.stat.size:
            self._hashed.verify(self._store, self.stat.key, self._sha256)
        return chunk
