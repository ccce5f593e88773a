"""Lists by pages: what a back end fetches, as one iterator with a token to go on."""

from __future__ import annotations

import base64
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Protocol, Self, TypeVar, runtime_checkable

from uploadmill.backends.storage.keys import is_key
from uploadmill.backends.storage.objects import Folder, ObjectStat

Entry = ObjectStat | Folder

#: Entries of a page where we make the pages ourselves.
PAGE = 1000

#: What is said of other stores' tokens, and of no tokens at all.
FOREIGN = "this is no token of a list of this store"


Entry_co = TypeVar("Entry_co", covariant=True)


class Listing(Protocol[Entry_co]):
    """An iterator over a list that knows how to go on after its limit."""

    def __iter__(self) -> Self:
        """Itself."""

    def __next__(self) -> Entry_co:
        """The next entry; pages are fetched as they are needed."""

    @property
    def token(self) -> str | None:
        """What ``list`` takes to go on after the last entry given; None when all were given.

        To be asked when the iterator has ended. Opaque, and only for the same store and prefix.
        """


@runtime_checkable
class ListsByFolder(Protocol):
    """A storage whose server may list folder by folder, so that ``a/b`` comes before ``a-b``."""

    def lists_by_folder(self) -> bool:
        """Whether it does."""


def lists_by_folder(storage: object) -> bool:
    """Whether a store lists in another order than that of code points."""
    return isinstance(storage, ListsByFolder) and storage.lists_by_folder()


@dataclass(frozen=True, slots=True)
class Page:
    """A few entries in key order, and how to go on after them; None: there are no more."""

    entries: Sequence[Entry]
    token: str | None


class PagedListing:
    """The entries of pages, one after another.

    Args:
        pages: Fetched as needed; together they have no more entries than the list's limit.
    """

    def __init__(self, pages: Iterator[Page]) -> None:
        self._pages = pages
        self._entries: Iterator[Entry] = iter(())
        self.token: str | None = None

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> Entry:
        while True:
            for entry in self._entries:
                return entry
            page = next(self._pages)
            self._entries, self.token = iter(page.entries), page.token


def token_after(place: str) -> str:
    """The token of a list that ended there: with this key, or where the store's own mark says."""
    return base64.urlsafe_b64encode(place.encode()).decode()


def paged(
    entries: Iterable[Entry],
    limit: int | None,
    token_at: Callable[[Entry], str] = lambda last: token_after(last.key),
) -> Iterator[Page]:
    """Pages of what is walked in key order.

    Args:
        entries: All there are.
        limit: Give at most so many.
        token_at: The token of a list that ends with this entry, which has just been given.
    """
    walk, left = iter(entries), limit
    while page := list(islice(walk, PAGE if left is None else min(PAGE, left))):
        left = None if left is None else left - len(page)
        if left == 0:
            token = token_at(page[-1])
            yield Page(page, None if next(walk, None) is None else token)
            return
        yield Page(page, None)


def key_before(token: str | None) -> str:
    """The key after which a list goes on; empty: from the beginning.

    Raises:
        ValueError: This is no such token.
    """
    key = place_in(token or "")
    if key and not is_key(key.removesuffix("/")):
        raise ValueError(FOREIGN)
    return key


def place_in(token: str) -> str:
    """What :func:`token_after` was given.

    Raises:
        ValueError: It made no such token.
    """
    try:
        return base64.b64decode(token.encode("ascii"), altchars=b"-_", validate=True).decode()
    except ValueError as error:
        raise ValueError(FOREIGN) from error
