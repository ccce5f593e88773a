"""What the checks of the storage contract stand on: a folder of their own, and made-up bytes."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Self

from uploadmill.backends.storage.base import Storage
from uploadmill.backends.storage.objects import ObjectStat
from uploadmill.backends.storage.sources import CHUNK
from uploadmill.errors import ObjectNotFound

#: Bytes of which made-up content is a sequence, no two of them equal.
_BLOCK = 4096

SMALL = b"a small object\n"


class ContractBroken(AssertionError):
    """Raised by a check when the store does not do what the contract says."""


class NotOffered(Exception):
    """Raised by a check when the store says, in time, that it has not got this."""


@dataclass(frozen=True, slots=True)
class Ground:
    """The store under test and the part of it that one run may touch.

    Attributes:
        storage: The store.
        folder: What the run's keys start with, ending in a slash.
        large: Bytes of a large object, more than the store sends in one request.
        many: Objects in a long list, more than the store gives or takes at once.
    """

    storage: Storage
    folder: str
    large: int
    many: int

    def key(self, name: str) -> str:
        """A key of this run; give each check names of its own."""
        return self.folder + name

    def sources(self) -> tuple[MadeUp, MadeUp]:
        """A small and a large source: no promise may hold on one path only."""
        return MadeUp(1000), MadeUp(self.large)


class MadeUp:
    """A source of bytes that are the same at each opening; an opener that counts its openings.

    Args:
        size: In bytes.
        seed: Another one gives other bytes.
        fails_at: Bytes after which reading raises :class:`SourceBroken`.
    """

    def __init__(self, size: int, seed: str = "", fails_at: int | None = None) -> None:
        self.size = size
        self.fails_at = fails_at
        self.opened = 0
        self.closed = 0
        self._block = hashlib.shake_128(seed.encode()).digest(_BLOCK - 8)

    def __call__(self) -> _Stream:
        """Open it; the stream takes part in the counting."""
        self.opened += 1
        return _Stream(self)

    def part(self, start: int, end: int) -> bytes:
        """The bytes from *start* to *end*, not included."""
        end = min(end, self.size)
        first, last = start // _BLOCK, -(-end // _BLOCK)
        blocks = b"".join(
            number.to_bytes(8, "big") + self._block for number in range(first, max(first, last))
        )
        return blocks[start - first * _BLOCK : max(end, start) - first * _BLOCK]

    @property
    def sha256(self) -> str:
        """Of all its bytes, in hex."""
        digest = hashlib.sha256()
        for start in range(0, self.size, CHUNK):
            digest.update(self.part(start, start + CHUNK))
        return digest.hexdigest()


class SourceBroken(Exception):
    """Raised by a source that was told to fail."""


class _Stream:
    """A stream that has no ``read()`` without a size, as nobody may hold whole objects."""

    def __init__(self, source: MadeUp) -> None:
        self._source = source
        self._position = 0

    def read(self, size: int, /) -> bytes:
        if not 0 <= size <= 16 * CHUNK:
            raise ContractBroken(f"a source was asked for {size} bytes at once")
        if self._source.fails_at is not None and self._position >= self._source.fails_at:
            raise SourceBroken
        chunk = self._source.part(self._position, self._position + size)
        self._position += len(chunk)
        return chunk

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._source.closed += 1


def same(expected: object, actual: object, what: str) -> None:
    """Insist on equality; *what* names the thing for the operator who reads the result."""
    if expected != actual:
        raise ContractBroken(f"{what}: expected {expected!r:.200}, got {actual!r:.200}")


def true(holds: object, what: str) -> None:
    """Insist on *holds*; *what* says what should have been."""
    if not holds:
        raise ContractBroken(what)


def raises(error: type[Exception], action: Callable[[], object], what: str) -> None:
    """Insist that *action* raises *error* and nothing else."""
    try:
        result = action()
    except error:
        return
    except Exception as other:
        wrong = f"{type(other).__name__} ({other})"
        raise ContractBroken(f"{what}: expected {error.__name__}, got {wrong}") from other
    raise ContractBroken(f"{what}: expected {error.__name__}, got {result!r:.200}")


def content(storage: Storage, key: str, start: int = 0, length: int | None = None) -> bytes:
    """An object's bytes, or a part of them."""
    with storage.open(key, start=start, length=length) as stream:
        return b"".join(iter(lambda: stream.read(CHUNK), b""))


def digest(storage: Storage, key: str) -> str:
    """The sha256 of the bytes that reading an object gives."""
    found = hashlib.sha256()
    with storage.open(key) as stream:
        while chunk := stream.read(CHUNK):
            found.update(chunk)
    return found.hexdigest()


def absent(storage: Storage, key: str, why: str) -> None:
    """Insist that there is no such object, for every way to ask."""
    raises(ObjectNotFound, lambda: storage.stat(key), f"stat of a key {why}")
    same([], [stat.key for stat in storage.list(key)], f"list of a key {why}")


def intact(storage: Storage, key: str, before: ObjectStat, source: MadeUp, why: str) -> None:
    """Insist that an object is as it was."""
    same(before.etag, storage.stat(key).etag, f"the etag {why}")
    same(source.sha256, digest(storage, key), f"the bytes {why}")
