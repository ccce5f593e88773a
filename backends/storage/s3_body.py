"""The body of one request that streams an object, and never sends the end of a wrong one."""

from __future__ import annotations

from uploadmill.backends.storage.base import CHUNK
from uploadmill.backends.storage.hashing import HashingReader
from uploadmill.errors import IntegrityError


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
        """The next piece, of our own size: boto3 asks for 16 kB, which is much work for a GB."""
        try:
            return self._next()
        except Exception as error:
            self.failure = error
            raise

    def _next(self) -> bytes:
        left = self._size - self._reader.size
        if not left:
            return b""
        piece = self._reader.read(min(CHUNK, left))
        if not piece:
            raise self._changed("shrunk")
        if self._reader.size == self._size:
            self._reader.verify(self._store, self._key, self._sha256)
            if self._reader.peek(1):
                raise self._changed("grown")
        return piece

    def _changed(self, how: str) -> IntegrityError:
        return IntegrityError(self._store, self._key, f"the source has {how} while it was read")
