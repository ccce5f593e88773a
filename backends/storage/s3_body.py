"""Bodies of requests, given by pieces; and one that never gives the end of a wrong object."""

from __future__ import annotations

from uploadmill.backends.storage.body import PIECE
from uploadmill.backends.storage.hashing import HashingReader
from uploadmill.errors import IntegrityError


class HeldBody:
    """What boto3 reads from that is in memory; as one piece it would have to be gone in one go.

    Args:
        content: All of it.
    """

    def __init__(self, content: bytearray | memoryview) -> None:
        self._left = memoryview(content)

    def read(self, _size: int = -1, /) -> memoryview:
        """The next piece."""
        piece, self._left = self._left[:PIECE], self._left[PIECE:]
        return piece


class StreamedBody:
    """What boto3 reads an object from.

    The last piece is given only when all bytes are known to be the expected ones: without it the
    body is shorter than announced, and no server makes an object of that.

    Args:
        store: For messages.
        key: For messages.
        reader: Of the bytes.
        size: That was announced.
        sha256: That the bytes should have.
    """

    def __init__(self, store: str, key: str, reader: HashingReader, size: int, sha256: str) -> None:
        self._store = store
        self._key = key
        self._reader = reader
        self._size = size
        self._sha256 = sha256
        #: What went wrong while reading: boto3 makes an error of the connection of it.
        self.failure: Exception | None = None

    def read(self, _size: int = -1, /) -> bytes:
        """The next piece."""
        try:
            return self._next()
        except Exception as error:
            self.failure = error
            raise

    def _next(self) -> bytes:
        left = self._size - self._reader.size
        if not left:
            return b""
        piece = self._reader.read(min(PIECE, left))
        if not piece:
            raise self._changed("shrunk")
        if self._reader.size == self._size:
            self._reader.verify(self._store, self._key, self._sha256)
            if self._reader.peek(1):
                raise self._changed("grown")
        return piece

    def _changed(self, how: str) -> IntegrityError:
        return IntegrityError(self._store, self._key, f"the source has {how} while it was read")
