"""What a back end is told to do: arguments that have been looked at."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from uploadmill.backends.storage.facts import Facts
from uploadmill.backends.storage.features import Access
from uploadmill.backends.storage.hashing import HashingReader
from uploadmill.backends.storage.keys import check_prefix, check_text
from uploadmill.backends.storage.listing import FOREIGN
from uploadmill.backends.storage.sources import Opener
from uploadmill.backends.storage.terms import at_least
from uploadmill.errors import Unsupported


@dataclass(frozen=True, slots=True)
class Write:
    """A put whose arguments are in order.

    Attributes:
        key: Inside the store's prefix.
        reader: The open source; nothing has been read but what was peeked at.
        again: Opens it anew, from its beginning.
        facts: But for the sha256.
        access: None: as the bucket has it.
        create_only: Whether the key must be free.
        sha256: What the bytes should have, in lower-case hex; None: whatever they have.
    """

    key: str
    reader: HashingReader
    again: Opener
    facts: Facts
    access: Access | None
    create_only: bool
    sha256: str | None


#: Bytes that no object has; twice as many are still a number of 64 bits, which some servers and
#: systems ask of a part's end.
_BEYOND = 1 << 62


@dataclass(frozen=True, slots=True)
class Part:
    """What of an object to open.

    Attributes:
        start: First byte.
        length: Bytes; None: to the end.
        if_match: The etag it must have; None: any.
        version: Which of its versions; None: the newest.
    """

    start: int = 0
    length: int | None = None
    if_match: str | None = None
    version: str | None = None

    def __post_init__(self) -> None:
        """Refuse what lies before the beginning; what lies beyond every end is all alike."""
        at_least("a part's start", 0, self.start)
        at_least("a part's length", 0, self.length)
        object.__setattr__(self, "start", min(self.start, _BEYOND))
        if self.length is not None:
            object.__setattr__(self, "length", min(self.length, _BEYOND))

    def length_of(self, size: int) -> int:
        """Bytes of this part in an object of *size* bytes; beyond its end there are none."""
        left = max(size - self.start, 0)
        return left if self.length is None else min(self.length, left)


@dataclass(frozen=True, slots=True)
class Ask:
    """What a list is to give.

    Attributes:
        prefix: That keys start with, in the store's own prefix.
        folders: Whether keys with the same next segment become one :class:`Folder`.
        limit: Entries at most; None: all.
        token: Of an earlier list; None: from the beginning.
    """

    prefix: str
    folders: bool
    limit: int | None
    token: str | None

    def page_size(self, most: int) -> int:
        """Entries to ask for at first, where a page has *most* at most."""
        return most if self.limit is None else min(most, self.limit)


def only(keys: Sequence[str]) -> str:
    """The key of ``delete`` with an etag.

    Raises:
        ValueError: There is none, or there are several.
    """
    if len(keys) != 1:
        raise ValueError("an etag is of one object: name one key")
    return keys[0]


def ask(
    store: str, prefix: str, delimiter: str | None, limit: int | None, token: str | None
) -> Ask:
    """What ``list`` was asked for.

    Raises:
        InvalidKey: No key starts so.
        Unsupported: Keys have another delimiter.
        ValueError: A list of nothing.
        TypeError: Something is of another type.
    """
    check_prefix(store, prefix)
    if token is not None:
        check_text("a token", token)
        if not token:
            raise ValueError(FOREIGN)
    if delimiter not in (None, "/"):
        raise Unsupported(store, prefix, "the delimiter of keys is '/'")
    at_least("a limit", 1, limit)
    return Ask(prefix, delimiter is not None, limit, token)
