"""A part of one state of a blob, fetched piece by piece as it is read."""

from __future__ import annotations

from azure.storage.blob import StorageStreamDownloader

from uploadmill.backends.storage.azure_errors import translated
from uploadmill.backends.storage.base import ObjectStat
from uploadmill.errors import StorageUnavailable


class AzureReader:
    """An open object.

    Every request but the first asks for the first one's etag, so an object that is overwritten
    meanwhile ends the reading.

    Args:
        store: For messages.
        stat: Of the whole object.
        body: None: there are no bytes.
    """

    def __init__(
        self, store: str, stat: ObjectStat, body: StorageStreamDownloader[bytes] | None
    ) -> None:
        self.stat = stat
        self._store = store
        self._body = body
        self._left = body.size if body else 0

    def read(self, size: int, /) -> bytes:
        """At most *size* bytes; ``b""`` only at the end."""
        if size < 0:
            raise ValueError("say how many bytes to read")
        wanted = min(size, self._left)
        if self._body is None or not wanted:
            return b""
        with translated(self._store, self.stat.key):
            chunk = self._body.read(wanted)
        if not chunk:
            raise StorageUnavailable(self._store, "the body ended before its announced end")
        self._left -= len(chunk)
        return chunk
