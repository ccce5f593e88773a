"""The contract of what is made of the rest: ``exists``, ``read``, ``download``, ``move``."""

from __future__ import annotations

import tempfile
from functools import partial
from pathlib import Path

from uploadmill.backends.storage.content_types import DEFAULT_TYPE
from uploadmill.backends.storage.contract_ground import (
    SMALL,
    Ground,
    MadeUp,
    absent,
    content,
    digest,
    intact,
    raises,
    same,
    true,
)
from uploadmill.backends.storage.contract_put import METADATA
from uploadmill.backends.storage.headers import attachment
from uploadmill.errors import (
    ObjectExists,
    ObjectNotFound,
    SizeLimitExceeded,
    Unsupported,
)

CACHE = "public, max-age=31536000, immutable"


def headers_are_kept(ground: Ground) -> None:
    """What an object is served with comes back, of small and large ones, and of copies."""
    shown = attachment('Ünï "x".pdf')
    for source in ground.sources():
        key, target = ground.key(f"headers-{source.size}"), ground.key(f"headers-{source.size}-c")
        put = ground.storage.put(key, source, cache_control=CACHE, content_disposition=shown)
        same((CACHE, shown), (put.cache_control, put.content_disposition), "as put")
        ground.storage.copy(key, target)
        for each in (key, target):
            stat = ground.storage.stat(each)
            same((CACHE, shown), (stat.cache_control, stat.content_disposition), "as kept")
    plain = ground.storage.stat(ground.storage.put(ground.key("headers-none"), SMALL).key)
    same((None, None), (plain.cache_control, plain.content_disposition), "where none were given")


def headers_that_do_not_fit_are_refused(ground: Ground) -> None:
    """No line break, nothing but ASCII."""
    key = ground.key("headers-refused")
    for wrong in ("a\r\nX: y", "ü", "", "x" * 2000):
        for name in ("cache_control", "content_disposition"):
            put = partial(ground.storage.put, key, SMALL, **{name: wrong})  # type: ignore[arg-type]
            raises(Unsupported, put, f"{name} {wrong!r:.20}")
    absent(ground.storage, key, "after refused headers")


def exists_tells(ground: Ground) -> None:
    """An object is there or not; a folder is none."""
    key = ground.key("exists/here")
    ground.storage.put(key, SMALL)
    true(ground.storage.exists(key), "an object exists")
    true(not ground.storage.exists(ground.key("exists/not-here")), "no object does not exist")
    true(not ground.storage.exists(ground.key("exists")), "a folder is no object")


def read_gives_all_or_nothing(ground: Ground) -> None:
    """Up to the limit, never a part."""
    key = ground.key("read")
    ground.storage.put(key, SMALL)
    same(SMALL, ground.storage.read(key, len(SMALL), verify=True), "the bytes")
    short = len(SMALL) - 1
    raises(SizeLimitExceeded, lambda: ground.storage.read(key, short), "one byte over the limit")
    missing = ground.key("read-missing")
    raises(ObjectNotFound, lambda: ground.storage.read(missing, 1), "read of nothing")


def read_and_download_give_ranges(ground: Ground) -> None:
    """A part is that part, in memory and in a file; the limit is the part's."""
    with tempfile.TemporaryDirectory() as folder:
        target = Path(folder, "target")
        for source in ground.sources():
            key = ground.key(f"part-{source.size}")
            ground.storage.put(key, source)
            size = source.size
            for start, length in ((0, 1), (7, None), (10, 300), (size - 1, 9), (size, None)):
                end = size if length is None else min(start + length, size)
                expected, part = source.part(start, end), {"start": start, "length": length}
                read = partial(ground.storage.read, key, **part)  # type: ignore[arg-type]
                true(expected == read(limit=end - start), f"bytes {start} to {end}, read")
                stat = ground.storage.download(key, target, start=start, length=length)
                true(expected == target.read_bytes(), f"bytes {start} to {end}, downloaded")
                same(size, stat.size, "size of the whole, downloading a part")
            over = partial(ground.storage.read, key, 9, start=1, length=10)
            raises(SizeLimitExceeded, over, "a part of one byte over the limit")


def download_writes_a_file(ground: Ground) -> None:
    """Whole, in place of what was there; a failed one leaves that."""
    with tempfile.TemporaryDirectory() as folder:
        target = Path(folder, "target")
        target.write_bytes(b"before")
        missing = ground.key("download-missing")
        raises(ObjectNotFound, lambda: ground.storage.download(missing, target), "of nothing")
        same(b"before", target.read_bytes(), "the file after a failed download")
        for source in ground.sources():
            key = ground.key(f"download-{source.size}")
            ground.storage.put(key, source)
            stat = ground.storage.download(key, target, verify=True)
            same((source.size, source.sha256), (stat.size, stat.sha256), "the facts returned")
            true(source.part(0, source.size) == target.read_bytes(), "the bytes in the file")
        same([target], list(Path(folder).iterdir()), "the files beside it")


def a_verified_read_gives_the_bytes(ground: Ground) -> None:
    """Of small and large objects; a part cannot be verified."""
    for source in ground.sources():
        key = ground.key(f"verify-{source.size}")
        ground.storage.put(key, source)
        with ground.storage.open(key, verify=True) as reader:
            size = sum(map(len, iter(lambda: reader.read(1 << 20), b"")))
        same(source.size, size, "bytes read")
        raises(Unsupported, lambda k=key: _open(ground, k, start=1), "a part, verified")  # type: ignore[misc]


def move_keeps_everything(ground: Ground) -> None:
    """Bytes and all facts go along, and nothing stays behind; small and large."""
    for source in ground.sources():
        key, target = ground.key(f"moved-{source.size}"), ground.key(f"moves/{source.size}")
        ground.storage.put(key, source, content_type="a/b", metadata=METADATA, cache_control=CACHE)
        returned = ground.storage.move(key, target)
        absent(ground.storage, key, "after it was moved")
        stat = ground.storage.stat(target)
        expected = ("a/b", METADATA, CACHE, source.sha256)
        actual = (stat.content_type, dict(stat.metadata), stat.cache_control, stat.sha256)
        same(expected, actual, "the facts")
        same(stat.etag, returned.etag, "the etag returned")
        same(source.sha256, digest(ground.storage, target), "the bytes")


def a_type_that_says_nothing_is_kept(ground: Ground) -> None:
    """Whatever the key ends in: some servers take it for none, and serve data as a page."""
    storage = ground.storage
    for source in ground.sources():
        one, two = ground.key(f"plain-{source.size}"), ground.key(f"plain-{source.size}.html")
        storage.put(one, source)
        storage.put(two, source, content_type=DEFAULT_TYPE)
        storage.copy(two, two + ".css")
        storage.move(one, one + ".csv")
        for key in (two, two + ".css", one + ".csv"):
            same(DEFAULT_TYPE, storage.stat(key).content_type, f"the type of {key[-9:]!r}")
            with storage.open(key) as reader:
                same(DEFAULT_TYPE, reader.stat.content_type, f"the type of {key[-9:]!r}, open")


def move_overwrites_or_refuses(ground: Ground) -> None:
    """As asked; a refused move leaves both, a move onto itself changes nothing."""
    storage = ground.storage
    one, two, source = ground.key("move-one"), ground.key("move-two"), MadeUp(500)
    storage.put(one, source)
    before = storage.put(two, MadeUp(600))
    raises(ObjectExists, lambda: storage.move(one, two, create_only=True), "create-only")
    intact(storage, two, before, MadeUp(600), "after a refused move")
    same(500, storage.stat(one).size, "the source after a refused move")
    storage.move(two, two)
    intact(storage, two, before, MadeUp(600), "after a move onto itself")
    storage.move(one, two)
    same(500, storage.stat(two).size, "the target after a plain move")
    raises(ObjectNotFound, lambda: storage.move(one, two), "move of nothing")
    same(500, storage.stat(two).size, "the target after a move of nothing")


def delete_many_takes_a_stream(ground: Ground) -> None:
    """Any number of keys from an iterator, counted; missing ones too."""
    keys = [ground.key(f"stream/{number}") for number in range(5)]
    for key in keys[1:]:
        ground.storage.put(key, SMALL)
    same(4, ground.storage.delete_many(iter(keys[:4])), "keys counted")
    left = [stat.key for stat in ground.storage.list(ground.key("stream/"))]
    same(keys[4:], left, "keys left")
    same(0, ground.storage.delete_many([]), "keys of no keys")
    same(SMALL, content(ground.storage, keys[4]), "the bytes of what was not named")


def _open(ground: Ground, key: str, start: int) -> None:
    with ground.storage.open(key, start=start, verify=True):
        pass


CHECKS = (
    headers_are_kept,
    headers_that_do_not_fit_are_refused,
    exists_tells,
    read_gives_all_or_nothing,
    read_and_download_give_ranges,
    download_writes_a_file,
    a_verified_read_gives_the_bytes,
    move_keeps_everything,
    a_type_that_says_nothing_is_kept,
    move_overwrites_or_refuses,
    delete_many_takes_a_stream,
)
