"""One list of several stores' lists, in key order, that can be gone on with by a token."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import chain, islice
from typing import Any

from uploadmill.backends.storage.arguments import Ask
from uploadmill.backends.storage.base import Storage
from uploadmill.backends.storage.listing import FOREIGN, PAGE, Entry, Page, lists_by_folder, paged
from uploadmill.backends.storage.merging_folders import merged_by_folder
from uploadmill.errors import StorageUnavailable


@dataclass(frozen=True, slots=True)
class _Position:
    """Where in a store's list to go on.

    Attributes:
        page: The store's own token of the page we are in; None: its first.
        taken: How many entries of this page have been given.
        last: The key of the last of them.
    """

    page: str | None = None
    taken: int = 0
    last: str = ""


class _Walk:
    """One store's list, with its next entry in sight.

    Args:
        store: Whose list.
        ask: What is to be listed; limit and token are those of the whole.
        position: Where to begin; None: at the end.
    """

    def __init__(self, store: Storage, ask: Ask, position: _Position | None) -> None:
        self._store = store.name
        self._list: Any = store.list
        self._ask = ask
        self._seen: Entry | None = None
        self._before = ""
        self.position = position
        if position is not None:
            self._begin(position)

    @property
    def head(self) -> Entry | None:
        """The next entry; None where all were given."""
        while self._seen is None and self.position is not None:
            self._seen = next(self._entries, None)
            if self._seen is None:
                self._turn_over()
            else:
                self._insist_on_order(self._seen.key)
        return self._seen

    def take(self) -> None:
        """The head has been given."""
        if self._seen is not None:
            self._count(self._seen)
            self._seen = None

    def _insist_on_order(self, key: str) -> None:
        """Refuse to merge what is in no order: keys would be missing, or be given twice."""
        if key < self._before:
            reason = "it does not list in the order of keys; if it is on S3, give lists_by_folder"
            raise StorageUnavailable(self._store, reason, retry_here=False)
        self._before = key

    def _begin(self, at: _Position) -> None:
        """Fetch a page, and pass over what was given of it."""
        self._listing = self._fetch(at)
        given = list(islice(self._listing, at.taken))
        self._entries = self._listing
        if [entry.key for entry in given[at.taken - 1 :]] != [at.last][: at.taken]:
            # Some came or went since: then the order of keys tells what was given.
            self.position = replace(at, taken=0)
            self._entries = self._after(at.last, chain(given, self._listing))

    def _fetch(self, at: _Position) -> Any:
        options: dict[str, Any] = {"delimiter": "/"} if self._ask.folders else {}
        if self._ask.limit is not None:
            # A page must be as long as it was, or what was taken of it would not be all there.
            options["limit"] = max(self._ask.page_size(PAGE), at.taken)
        return self._list(self._ask.prefix, token=at.page, **options)

    def _after(self, last: str, entries: Iterator[Entry]) -> Iterator[Entry]:
        for entry in entries:
            if entry.key > last:
                yield entry
            else:
                self._count(entry)

    def _count(self, entry: Entry) -> None:
        if self.position is not None:
            self.position = replace(self.position, taken=self.position.taken + 1, last=entry.key)

    def _turn_over(self) -> None:
        """Go on to the next page, if there is one."""
        token = self._listing.token
        self.position = None if token is None else _Position(token)
        if self.position is not None:
            self._begin(self.position)


def merged_pages(stores: Sequence[Storage], ask: Ask) -> Iterator[Page]:
    """The entries of all stores; where several have a key, the first store's."""
    if any(lists_by_folder(store) for store in stores):
        yield from merged_by_folder(stores, ask)
    else:
        yield from _merged_pages(stores, ask)


def _merged_pages(stores: Sequence[Storage], ask: Ask) -> Iterator[Page]:
    walks = [
        _Walk(store, ask, position)
        for store, position in zip(stores, _positions(ask.token, len(stores)), strict=True)
    ]
    return paged(_merged(walks), ask.limit, lambda _: _token(walks))


def _merged(walks: Sequence[_Walk]) -> Iterator[Entry]:
    while heads := [(walk, head) for walk in walks if (head := walk.head) is not None]:
        first = min((head for _, head in heads), key=lambda entry: entry.key)
        for walk, head in heads:
            if head.key == first.key:
                walk.take()
        yield first


def _token(walks: Sequence[_Walk]) -> str:
    """How to go on in each store's list."""
    positions = [at and [at.page, at.taken, at.last] for at in (walk.position for walk in walks)]
    return base64.urlsafe_b64encode(json.dumps(positions).encode()).decode()


def _positions(token: str | None, stores: int) -> Sequence[_Position | None]:
    if token is None:
        return [_Position()] * stores
    try:
        found = json.loads(base64.b64decode(token.encode("ascii"), altchars=b"-_", validate=True))
        positions = [at and _Position(at[0], int(at[1]), str(at[2])) for at in found]
        if len(positions) == stores and all(at is None or at.taken >= 0 for at in positions):
            return positions
    except (ValueError, TypeError, LookupError):
        pass
    raise ValueError(FOREIGN)
