"""Lists of blobs, page by page, and of one blob's versions."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import takewhile
from typing import Any

from azure.storage.blob import BlobProperties, ContainerClient

from uploadmill.backends.storage.arguments import Ask
from uploadmill.backends.storage.azure_answers import listed
from uploadmill.backends.storage.azure_errors import translated
from uploadmill.backends.storage.azure_names import blob_prefix
from uploadmill.backends.storage.listing import Page, place_in, token_after
from uploadmill.errors import Unsupported


@dataclass(frozen=True, slots=True)
class BlobList:
    """What a store has in its container.

    Attributes:
        store: Its name, for messages.
        client: Of the container.
        prefix: The store's own.
    """

    store: str
    client: ContainerClient
    prefix: str

    def pages(self, ask: Ask, page_size: int) -> Iterator[Page]:
        """What *ask* asks for, at most *page_size* blobs at once."""
        # Our token is the service's own mark, in a form that shows what is none.
        marker = None if ask.token is None else place_in(ask.token)
        left = ask.limit
        while True:
            size = page_size if left is None else min(page_size, left)
            page, marker = self._page(ask, size, marker)
            yield page
            left = None if left is None else left - len(page.entries)
            if marker is None or left == 0:
                return

    def _page(self, ask: Ask, size: int, marker: str | None) -> tuple[Page, str | None]:
        """A page, and the service's mark of where it ended."""
        begin = blob_prefix(self.prefix + ask.prefix)
        blobs = (
            self.client.walk_blobs(begin, results_per_page=size)
            if ask.folders
            else self.client.list_blobs(begin, results_per_page=size)
        )
        following: Any = blobs.by_page(marker)
        try:
            with translated(self.store):
                entries = listed(next(following), self.prefix, ask.prefix)
        except Unsupported as error:
            if marker is not None:
                raise ValueError("the service knows no such token of a list") from error
            raise
        mark = following.continuation_token or None
        return Page(entries, token_after(mark) if mark else None), mark

    def kept(self, name: str) -> list[BlobProperties]:
        """Every kept state of a blob, the oldest first."""
        with translated(self.store):
            found = self.client.list_blobs(name, include=["versions", "metadata"])
            # Its own states come before those of longer names.
            return list(takewhile(lambda blob: blob.name == name, found))
