"""Hash and count bytes while they stream past."""

from __future__ import annotations

import hashlib

from uploadmill.backends.storage.base import CHUNK, Readable
from uploadmill.errors import IntegrityError, SizeLimitExceeded


class HashingReader:
    """A stream that knows the sha256 and the number of the bytes read through it.

    Args:
        stream: Where the bytes come from.
        max_size: In bytes; reading more raises.
    """

    def __init__(self, stream: Readable, max_size: int | None = None) -> None:
        self._stream = stream
        self._max_size = max_size
        self._hash = hashlib.sha256()
        self.size = 0

    def read(self, size: int, /) -> bytes:
        """At most *size* bytes; ``b""`` only at the end.

        Raises:
            SizeLimitExceeded: There are more than *max_size*.
        """
        chunk = self._stream.read(size)
        self._hash.update(chunk)
        self.size += len(chunk)
        if self._max_size is not None and self.size > self._max_size:
            raise SizeLimitExceeded(self._max_size)
        return chunk

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
