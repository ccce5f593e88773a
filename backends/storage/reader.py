"""An open object: a known number of bytes, as a stream."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from uploadmill.backends.storage.objects import ObjectStat
from uploadmill.errors import StorageUnavailable


class Reader(Protocol):
    """An open object: a stream with the facts of just that state of the object."""

    @property
    def stat(self) -> ObjectStat:
        """Of the object that is being read (the whole, also when reading a range)."""

    def read(self, size: int, /) -> bytes:
        """At most *size* bytes; ``b""`` only at the end.

        Raises:
            StorageUnavailable: The connection broke, or the body ended, before the announced end.
            ValueError: The ``with`` that opened the object has been left.
        """


class ObjectReader:
    """Gives the bytes that were announced; a stream that ends before them is an outage.

    Once closed it gives none: what they come from may be another object's by then.

    Args:
        store: Its name, for messages.
        stat: Of the whole object.
        length: Bytes to come: of the part that is read.
        fetch: Gives the next bytes, at most so many, and raises the contract's errors.
    """

    def __init__(
        self,
        store: str,
        stat: ObjectStat,
        length: int = 0,
        fetch: Callable[[int], bytes] = lambda _: b"",
    ) -> None:
        self.stat = stat
        self._store = store
        self._left = length
        self._fetch = fetch
        self._closed = False

    def close(self) -> None:
        """Give no more bytes; the facts stay."""
        self._closed = True

    def read(self, size: int, /) -> bytes:
        """See :meth:`Reader.read`."""
        if self._closed:
            raise ValueError(
                f"read of closed object {self.stat.key!r}: read inside the 'with' that opened it"
            )
        if size < 0:
            raise ValueError("say how many bytes to read")
        wanted = min(size, self._left)
        if not wanted:
            return b""
        chunk = self._fetch(wanted)
        if not chunk:
            raise StorageUnavailable(self._store, "the bytes ended before their announced end")
        self._left -= len(chunk)
        return chunk
