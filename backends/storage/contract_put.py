"""The contract of ``put``: whole or not at all, with all its facts, once where asked."""

from __future__ import annotations

import contextlib
import hashlib
import io
import tempfile
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

from uploadmill.backends.storage.contract_ground import (
    SMALL,
    Ground,
    MadeUp,
    SourceBroken,
    absent,
    content,
    digest,
    intact,
    raises,
    same,
    true,
)
from uploadmill.errors import (
    IntegrityError,
    ObjectExists,
    SizeLimitExceeded,
    Unsupported,
)

#: Values that headers, quoting and shells have spoilt somewhere.
METADATA = {
    "plain": "text",
    "unicode": "Ünïcödé \u6f22\u5b57 \U0001f600",
    "percent": "100 % %25 %C3%A9",
    "spaces": "  around  ",
    "lines": "one\r\ntwo\ttabbed",
    "empty": "",
    "name-with_both-1": "+&=;,\"'<>",
}


def put_returns_what_stat_says(ground: Ground) -> None:
    """The facts returned are the object's, in full."""
    for source in ground.sources():
        key = ground.key(f"facts-{source.size}.png")
        stat = ground.storage.put(key, source, metadata={"a": "b"})
        same((key, source.size), (stat.key, stat.size), "key and size")
        same(source.sha256, stat.sha256, "sha256")
        found = ground.storage.stat(key)
        same(replace(stat, modified=found.modified), found, "the facts")
        now = datetime.now(UTC)
        near = timedelta(days=1)
        true(abs(found.modified - now) < near, "the time of modification is aware and near ours")
        same(source.sha256, digest(ground.storage, key), "sha256 of what was read back")


def put_keeps_type_and_metadata(ground: Ground) -> None:
    """Type and metadata come back as they were given, Unicode included."""
    for source in ground.sources():
        key = ground.key(f"metadata-{source.size}.png")
        ground.storage.put(key, source, content_type="text/x-odd; a=b", metadata=METADATA)
        stat = ground.storage.stat(key)
        same("text/x-odd; a=b", stat.content_type, "content type")
        same(METADATA, dict(stat.metadata), "metadata")
        with ground.storage.open(key) as stream:
            same(METADATA, dict(stream.stat.metadata), "metadata of the open object")


def put_finds_the_type(ground: Ground) -> None:
    """Without a content type the content decides, else the extension, the same on every store."""
    types = {
        "a.jpg": (SMALL, "image/jpeg"),
        "a.css": (SMALL, "text/css"),
        "a": (SMALL, "application/octet-stream"),
        "pdf.jpg": (b"%PDF-1.7\n", "application/pdf"),
        "png": (b"\x89PNG\r\n\x1a\n", "image/png"),
    }
    for name, (head, expected) in types.items():
        ground.storage.put(ground.key("types/" + name), head)
        same(head, content(ground.storage, ground.key("types/" + name)), f"the bytes of {name}")
        stat = ground.storage.stat(ground.key("types/" + name))
        same(expected, stat.content_type, f"content type of {name}")


def put_takes_an_empty_source(ground: Ground) -> None:
    """No bytes are an object too."""
    key = ground.key("empty")
    stat = ground.storage.put(key, b"", metadata={"a": "b"})
    same((0, hashlib.sha256().hexdigest()), (stat.size, stat.sha256), "size and sha256")
    same(b"", content(ground.storage, key), "the bytes")
    same({"a": "b"}, dict(ground.storage.stat(key).metadata), "metadata")


def put_takes_a_path(ground: Ground) -> None:
    """A path is read."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "source")
        path.write_bytes(SMALL)
        ground.storage.put(ground.key("from-path"), path)
    same(SMALL, content(ground.storage, ground.key("from-path")), "the bytes")


def put_takes_a_file_from_its_position(ground: Ground) -> None:
    """A file object is read from where it stands, and stays open; so does a large one."""
    for source in ground.sources():
        file = io.BytesIO(b"skip" + source.part(0, source.size))
        file.seek(4)
        stat = ground.storage.put(ground.key(f"from-file-{source.size}"), file)
        same(source.sha256, stat.sha256, "sha256 from the position on")
        same(source.sha256, digest(ground.storage, stat.key), "the bytes read back")
        true(not file.closed, "the caller's file stays open")


def put_takes_an_opener(ground: Ground) -> None:
    """An opener is opened, read by pieces, and closed as often as it was opened."""
    for source in ground.sources():
        stat = ground.storage.put(ground.key(f"from-opener-{source.size}"), source)
        same(source.sha256, stat.sha256, "sha256")
        true(source.opened, "the source is opened")
        same(source.opened, source.closed, "closings of the source")


def put_overwrites(ground: Ground) -> None:
    """The new object replaces the old one with all its facts."""
    key = ground.key("overwritten")
    first = ground.storage.put(key, MadeUp(1000), content_type="image/png", metadata={"a": "1"})
    source = MadeUp(1000, "other")
    second = ground.storage.put(key, source, content_type="image/gif", metadata={"b": "2"})
    true(first.etag != second.etag, "the etag changes with the bytes")
    stat = ground.storage.stat(key)
    same(("image/gif", {"b": "2"}), (stat.content_type, dict(stat.metadata)), "type, metadata")
    same(source.sha256, digest(ground.storage, key), "the bytes")


def put_create_only_refuses_a_taken_key(ground: Ground) -> None:
    """The object that is there stays as it is."""
    for source in ground.sources():
        key = ground.key(f"taken-{source.size}")
        before = ground.storage.put(key, source, create_only=True)
        other = MadeUp(source.size, "other")
        again = _put(ground, key, other, create_only=True)
        raises(ObjectExists, again, "create-only on a taken key")
        intact(ground.storage, key, before, source, "after a refused write")


def put_create_only_has_one_winner(ground: Ground) -> None:
    """Of many at the same moment one creates, all others are told so."""
    _race(ground, ground.key("race-small"), [MadeUp(1000, str(each)) for each in range(8)])


def put_create_only_has_one_winner_when_large(ground: Ground) -> None:
    """The same where an object is sent in parts."""
    sources = [MadeUp(ground.large, str(each)) for each in range(2)]
    _race(ground, ground.key("race-large"), sources)


def put_create_only_after_delete(ground: Ground) -> None:
    """A deleted key is free again."""
    key = ground.key("freed")
    ground.storage.put(key, SMALL, create_only=True)
    ground.storage.delete(key)
    ground.storage.put(key, b"new", create_only=True)
    same(b"new", content(ground.storage, key), "the bytes")


def put_keeps_max_size(ground: Ground) -> None:
    """As many bytes as allowed pass; one more leaves nothing."""
    for source in ground.sources():
        key = ground.key(f"limit-{source.size}")
        too_small = _put(ground, key, source, max_size=source.size - 1)
        raises(SizeLimitExceeded, too_small, "one byte over the limit")
        known = _put(ground, key, source, max_size=source.size - 1, sha256=source.sha256)
        raises(SizeLimitExceeded, known, "one byte over the limit, sha256 given")
        absent(ground.storage, key, "after too large a source")
        ground.storage.put(key, source, max_size=source.size)
        same(source.size, ground.storage.stat(key).size, "size at the limit")


def put_verifies_sha256(ground: Ground) -> None:
    """Other bytes than announced leave nothing, nor do they touch what was there."""
    for source in ground.sources():
        key = ground.key(f"verified-{source.size}")
        wrong = MadeUp(source.size, "other").sha256
        raises(IntegrityError, _put(ground, key, source, sha256=wrong), "a wrong sha256")
        absent(ground.storage, key, "after a wrong sha256")
        before = ground.storage.put(key, source, sha256=source.sha256)
        raises(IntegrityError, _put(ground, key, source, sha256=wrong), "a wrong sha256")
        intact(ground.storage, key, before, source, "after a wrong sha256")


def put_from_a_broken_source_leaves_nothing(ground: Ground) -> None:
    """A source that fails half-way makes no object; its error comes out as it is."""
    for size, fails_at in ((2000, 1000), (ground.large, ground.large - 1)):
        for given in (None, MadeUp(size).sha256):
            key = ground.key(f"broken-{size}")
            source = MadeUp(size, fails_at=fails_at)
            raises(SourceBroken, _put(ground, key, source, sha256=given), "a failing source")
            same(source.opened, source.closed, "closings of a failing source")
            absent(ground.storage, key, "after a failing source")


def put_refuses_what_cannot_be_kept(ground: Ground) -> None:
    """Metadata or a type that some store could not give back is refused before bytes move."""
    key = ground.key("refused")
    for metadata in (
        {"Upper": "x"},
        {"": "x"},
        {"a b": "x"},
        {"é": "x"},
        {"a": "x" * 4000},
        {"a": "\ud800"},
    ):
        refused = _put(ground, key, SMALL, metadata=metadata)
        raises(Unsupported, refused, f"metadata {metadata!r:.40}")
    for kind in ("", "text/plain\r\nX: y", "tëxt/plain", "x" * 300):
        raises(Unsupported, _put(ground, key, SMALL, content_type=kind), f"type {kind!r:.40}")
    absent(ground.storage, key, "after refused facts")


def _put(
    ground: Ground, key: str, source: MadeUp | bytes, **options: object
) -> Callable[[], object]:
    """A put to be tried by :func:`raises`."""
    return lambda: ground.storage.put(key, source, **options)  # type: ignore[arg-type]


def _race(ground: Ground, key: str, sources: list[MadeUp]) -> None:
    """Put all *sources* at the same moment, create-only, and insist on one winner."""

    def attempt(source: MadeUp) -> MadeUp | None:
        with contextlib.suppress(ObjectExists):
            ground.storage.put(key, source, create_only=True)
            return source
        return None

    with ThreadPoolExecutor(len(sources)) as pool:
        winners = [winner for winner in pool.map(attempt, sources) if winner is not None]
    same(1, len(winners), "winners of a create-only race")
    same(winners[0].sha256, digest(ground.storage, key), "the bytes, the winner's")


CHECKS = (
    put_returns_what_stat_says,
    put_keeps_type_and_metadata,
    put_finds_the_type,
    put_takes_an_empty_source,
    put_takes_a_path,
    put_takes_a_file_from_its_position,
    put_takes_an_opener,
    put_overwrites,
    put_create_only_refuses_a_taken_key,
    put_create_only_has_one_winner,
    put_create_only_has_one_winner_when_large,
    put_create_only_after_delete,
    put_keeps_max_size,
    put_verifies_sha256,
    put_from_a_broken_source_leaves_nothing,
    put_refuses_what_cannot_be_kept,
)
