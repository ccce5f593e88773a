"""One list of several stores' lists, folder by folder, where one of them lists in another order.

A server that compares folder by folder gives ``a/b`` before ``a-b``. Merged with others as they
come, keys would be given twice. Inside of one folder the two orders differ only by where the
folders stand, so each folder is listed by itself, and a folder waits for what comes before it.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterable, Iterator, Sequence
from itertools import groupby

from uploadmill.backends.storage.arguments import Ask
from uploadmill.backends.storage.base import Storage
from uploadmill.backends.storage.listing import FOREIGN, Entry, Page, paged, place_in, token_after
from uploadmill.backends.storage.objects import Folder

#: What the inside of our tokens begins with, as no key does.
_OURS = "/"

#: An entry, and which of the stores it comes from.
_Found = tuple[str, int, Entry]


def merged_by_folder(stores: Sequence[Storage], ask: Ask) -> Iterator[Page]:
    """The entries of all stores; where several have a key, the first store's.

    A list that goes on after a token looks at the folders on the way to it from their beginnings.
    """
    walk = _Walk(ask.folders, _after(ask.token))
    return paged(walk.below(stores, ask.prefix), ask.limit, _token)


def _token(last: Entry) -> str:
    return token_after(_OURS + last.key)


def _after(token: str | None) -> str:
    """The key after which to go on.

    Raises:
        ValueError: This is no such token.
    """
    if token is None:
        return ""
    key = place_in(token)
    if not key.startswith(_OURS):
        raise ValueError(FOREIGN)
    return key.removeprefix(_OURS)


class _Walk:
    """A walk through the folders of several stores.

    Args:
        as_folders: Whether to give folders instead of what is in them.
        after: The key after which to go on; empty: from the beginning.
    """

    def __init__(self, as_folders: bool, after: str) -> None:  # noqa: FBT001 (of one caller)
        self._as_folders = as_folders
        self._after = after

    def below(self, stores: Sequence[Storage], prefix: str) -> Iterator[Entry]:
        """What is asked for of all that begins with *prefix*."""
        for entry, holders in _level(stores, prefix):
            if isinstance(entry, Folder) and not self._as_folders:
                if entry.key > self._after or self._after.startswith(entry.key):
                    yield from self.below(holders, entry.key)
            elif entry.key > self._after:
                yield entry


def _level(stores: Sequence[Storage], prefix: str) -> Iterator[tuple[Entry, Sequence[Storage]]]:
    """The entries with this prefix and no slash behind it, and the stores that have each."""
    lists = [_numbered(number, store, prefix) for number, store in enumerate(stores)]
    for _, group in groupby(heapq.merge(*lists, key=lambda each: each[:2]), lambda each: each[0]):
        found = list(group)
        yield found[0][2], [stores[number] for _, number, _ in found]


def _numbered(number: int, store: Storage, prefix: str) -> Iterator[_Found]:
    for entry in in_key_order(store.list(prefix, delimiter="/")):
        yield entry.key, number, entry


def in_key_order(entries: Iterable[Entry]) -> Iterator[Entry]:
    """The entries of one folder, which came in the order of names without the folders' slashes.

    Those that wait have names that begin with one another's, so they are few.
    """
    waiting: list[str] = []
    for entry in entries:
        while waiting and waiting[0] < entry.key:
            yield Folder(heapq.heappop(waiting))
        if isinstance(entry, Folder):
            heapq.heappush(waiting, entry.key)
        else:
            yield entry
    while waiting:
        yield Folder(heapq.heappop(waiting))
