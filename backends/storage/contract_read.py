"""The contract of ``open`` and ``stat``: the right bytes, or why not."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from uploadmill.backends.storage.contract_ground import (
    SMALL,
    Ground,
    MadeUp,
    content,
    raises,
    same,
    true,
)
from uploadmill.errors import ObjectNotFound


def read_gives_ranges(ground: Ground) -> None:
    """A part is exactly that part, across the borders of parts too; the facts are the whole's."""
    for source in ground.sources():
        key = ground.key(f"ranges-{source.size}")
        ground.storage.put(key, source)
        size = source.size
        for start, length in ((0, 1), (1, None), (10, 300), (size - 1, 1), (size - 300, 200)):
            end = size if length is None else start + length
            actual = content(ground.storage, key, start, length)
            true(source.part(start, end) == actual, f"bytes {start} to {end} of {size}")
            with ground.storage.open(key, start=start, length=length) as stream:
                same(size, stream.stat.size, "size of the whole, reading a part")


def read_beyond_the_end_gives_nothing(ground: Ground) -> None:
    """What is not there is no error: there are no bytes."""
    key = ground.key("short")
    ground.storage.put(key, SMALL)
    size = len(SMALL)
    ranges: tuple[tuple[int, int | None], ...] = ((0, 0), (size, None), (size, 5), (size + 9, 5))
    for start, length in ranges:
        same(b"", content(ground.storage, key, start, length), f"{length} bytes from {start}")
        with ground.storage.open(key, start=start, length=length) as stream:
            same(size, stream.stat.size, "size of the whole, reading nothing")
    same(SMALL[-2:], content(ground.storage, key, size - 2, 99), "a range that ends too far")
    ground.storage.put(key, b"")
    same(b"", content(ground.storage, key, 0, 10), "a range of an empty object")


def read_takes_ranges_of_any_size(ground: Ground) -> None:
    """Also where its end is no number of 64 bits any more: the object ends before."""
    key = ground.key("huge-ranges")
    ground.storage.put(key, SMALL)
    for huge in (1 << 31, (1 << 63) - 1, 1 << 63, 1 << 64):
        for start in (0, 3):
            actual = content(ground.storage, key, start, huge)
            same(SMALL[start:], actual, f"{huge} bytes from {start}")
        for length in (None, 1, huge):
            same(b"", content(ground.storage, key, huge, length), f"{length} bytes from {huge}")


def read_refuses_negative_ranges(ground: Ground) -> None:
    """A part does not begin before the beginning."""
    key = ground.key("negative")
    ground.storage.put(key, SMALL)
    raises(ValueError, attempt(ground, key, start=-1), "open from -1")
    raises(ValueError, attempt(ground, key, length=-1), "open of -1 bytes")


def read_gives_no_more_than_asked(ground: Ground) -> None:
    """Sizes are kept, and the end stays the end."""
    key = ground.key("pieces")
    ground.storage.put(key, SMALL)
    with ground.storage.open(key) as stream:
        pieces = [stream.read(4)]
        true(len(pieces[0]) <= 4, "no more bytes than asked for")  # noqa: PLR2004 (as asked)
        while pieces[-1]:
            pieces.append(stream.read(4))
        same(b"", stream.read(4), "reading on after the end")
    same(SMALL, b"".join(pieces), "the pieces")


def read_can_be_left_early(ground: Ground) -> None:
    """Who has seen enough leaves; the store is none the worse."""
    key = ground.key("left-early")
    ground.storage.put(key, MadeUp(ground.large))
    for _ in range(3):
        with ground.storage.open(key) as stream:
            true(stream.read(10), "the first bytes")
    same(MadeUp(ground.large).part(0, 5), content(ground.storage, key, 0, 5), "a later read")


def read_ends_with_its_with(ground: Ground) -> None:
    """A reader that is kept gives nothing any more, least of all the bytes of another object."""
    other = ground.key("open-meanwhile")
    ground.storage.put(other, SMALL)
    for size, asked in ((0, 0), (1000, 10), (1000, 1000), (ground.large, 10)):
        key = ground.key(f"kept-reader-{size}")
        ground.storage.put(key, MadeUp(size))
        for verify in (False, True):
            with ground.storage.open(key, verify=verify) as kept:
                kept.read(asked)
            with ground.storage.open(other):
                what = f"a read of {size} bytes, verify={verify}, when its 'with' was left"
                raises(ValueError, partial(kept.read, 10), what)
            same(size, kept.stat.size, "the facts, which stay")


def read_of_a_missing_object_says_so(ground: Ground) -> None:
    """Nothing there is an answer of its own."""
    key = ground.key("missing")
    raises(ObjectNotFound, attempt(ground, key), "open")
    raises(ObjectNotFound, attempt(ground, key, start=1), "open of a part")
    raises(ObjectNotFound, attempt(ground, key, length=0), "open of no bytes")
    raises(ObjectNotFound, attempt(ground, key, if_match="0"), "open on a condition")
    raises(ObjectNotFound, lambda: ground.storage.stat(key), "stat")
    ground.storage.put(ground.key("folder/object"), SMALL)
    raises(ObjectNotFound, lambda: ground.storage.stat(ground.key("folder")), "stat of a folder")
    raises(ObjectNotFound, attempt(ground, ground.key("folder")), "open of a folder")


def read_of_a_deleted_object_says_so(ground: Ground) -> None:
    """A deleted object is gone at once."""
    key = ground.key("deleted")
    ground.storage.put(key, SMALL)
    ground.storage.delete(key)
    raises(ObjectNotFound, attempt(ground, key), "open after delete")
    raises(ObjectNotFound, lambda: ground.storage.stat(key), "stat after delete")


def attempt(
    ground: Ground,
    key: str,
    *,
    start: int = 0,
    length: int | None = None,
    if_match: str | None = None,
) -> Callable[[], bytes]:
    """A read to be tried by :func:`raises`."""

    def read() -> bytes:
        with ground.storage.open(key, start=start, length=length, if_match=if_match) as stream:
            return stream.read(100)

    return read


CHECKS = (
    read_gives_ranges,
    read_beyond_the_end_gives_nothing,
    read_takes_ranges_of_any_size,
    read_refuses_negative_ranges,
    read_gives_no_more_than_asked,
    read_can_be_left_early,
    read_ends_with_its_with,
    read_of_a_missing_object_says_so,
    read_of_a_deleted_object_says_so,
)
