"""What every store takes as a key, and as the prefix of keys; checked before anything moves."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable

from uploadmill.errors import InvalidKey

#: Bytes of UTF-8 a key may have. S3 allows 1,024 with the store's prefix, which has 255 of them.
MAX_KEY = 768

#: Bytes of one segment: what file systems allow for a name.
MAX_SEGMENT = 255

#: The folder a local store keeps for itself; no key has such a segment, in any store and any
#: case (some file systems do not tell cases apart).
RESERVED = ".uploadmill"


def check_key(store: str, key: str) -> None:
    """Refuse a key that could leave its store's prefix or cannot be stored everywhere.

    Raises:
        InvalidKey: Says what is wrong with it.
        TypeError: It is no text.
    """
    check_text("a key", key)
    problem = _too_long(key, MAX_KEY) or next(filter(None, map(_wrong_with, key.split("/"))), None)
    if problem:
        raise InvalidKey(store, shown(key), problem)


def check_keys(store: str, keys: Iterable[str]) -> None:
    """Refuse all of them where one is none.

    Raises:
        InvalidKey: Says which one, and what is wrong with it.
        TypeError: One of them is no text.
    """
    for key in keys:
        if isinstance(key, Iterable) and not isinstance(key, str | bytes):
            raise TypeError("delete takes keys one by one: delete(*keys), or delete_many(keys)")
        check_key(store, key)


def check_text(what: str, given: object) -> None:
    """Refuse what is no text, as *what*.

    Raises:
        TypeError: Says what it is instead.
    """
    if not isinstance(given, str):
        raise TypeError(f"{what} is a str; this is a {type(given).__name__}")


def check_prefix(store: str, prefix: str) -> None:
    """Refuse what no valid key can start with; the last segment may be half a name.

    Raises:
        InvalidKey: Says what is wrong with it.
        TypeError: It is no text.
    """
    check_text("a prefix", prefix)
    *folders, last = prefix.split("/")
    problem = (
        _too_long(prefix, MAX_KEY)
        or next(filter(None, map(_wrong_with, folders)), None)
        or _wrong_characters(last)
    )
    if problem:
        raise InvalidKey(store, shown(prefix), problem)


def is_key(key: str) -> bool:
    """Whether :func:`check_key` lets *key* pass."""
    return not (_too_long(key, MAX_KEY) or any(map(_wrong_with, key.split("/"))))


def shown(key: str) -> str:
    """*key* fit for a message: short, and encodable whatever it holds."""
    return key[:80].encode("utf-8", "backslashreplace").decode() + ("…" if len(key) > 80 else "")  # noqa: PLR2004 (a line)


def _wrong_with(segment: str) -> str | None:
    """What is wrong with a whole segment; None when nothing is."""
    if segment == "":
        return "it is empty, or has an empty segment"
    if segment in (".", ".."):
        return "it has a segment '.' or '..'"
    if segment.lower() == RESERVED:
        return f"{RESERVED!r} is reserved"
    return _too_long(segment, MAX_SEGMENT, "a segment") or _wrong_characters(segment)


def _too_long(text: str, limit: int, what: str = "it") -> str | None:
    size = len(text.encode("utf-8", "surrogatepass"))
    return f"{what} has more than {limit} bytes" if size > limit else None


def _wrong_characters(text: str) -> str | None:
    for character in text:
        if character == "\\":
            return "it has a backslash"
        if unicodedata.category(character) in ("Cc", "Cs") or character in "\ufffe\uffff":
            return f"it has the character U+{ord(character):04X}"
    return None
