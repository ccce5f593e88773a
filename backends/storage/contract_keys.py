"""The contract about keys: hostile ones, and ``delete``, ``copy``, ``url``."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

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
from uploadmill.backends.storage.features import Access
from uploadmill.backends.storage.keys import MAX_KEY, MAX_SEGMENT, RESERVED
from uploadmill.errors import InvalidKey, ObjectChanged, ObjectExists, ObjectNotFound

#: Each could lead out of a prefix on some store, or could not be stored on another.
HOSTILE_KEYS = (
    "",
    "/",
    "/etc/passwd",
    "..",
    "../outside",
    "a/../b",
    "a/..",
    "./a",
    "a/./b",
    "a//b",
    "a/",
    "a\\b",
    "..\\outside",
    "C:\\outside",
    "nul\0byte",
    "line\nbreak",
    "escape\x1b",
    "delete\x7f",
    "c1\x85",
    "half\ud800surrogate",
    "not-xml\uffff",
    f"{RESERVED}/meta",
    f"{RESERVED.upper()}/meta",
    f"a/{RESERVED}",
    "x" * (MAX_SEGMENT + 1),
    "ä" * (MAX_SEGMENT // 2 + 1),
    "a/" * (MAX_KEY // 2) + "abc",
)

#: Strange, and allowed everywhere.
STRANGE_NAMES = (
    "with space",
    "plus+percent%41",
    "question?hash#",
    "amp&quote\"'<tag>",
    "colon:star*",
    "...",
    ".hidden",
    "~tilde",
    "Ünïcödé \u6f22\u5b57",
    "\U0001f600",
    "x" * MAX_SEGMENT,
)


def hostile_keys_are_refused(ground: Ground) -> None:
    """By every method, whatever the store would have made of them."""
    storage = ground.storage
    good = ground.key("good")
    storage.put(good, SMALL)
    for key in HOSTILE_KEYS:
        for name, call in _calls(ground, key, good).items():
            raises(InvalidKey, call, f"{name} of {key!r:.60}")
    same(SMALL, content(storage, good), "the bytes of a good key after all that")


def strange_keys_work(ground: Ground) -> None:
    """Characters that quoting has spoilt somewhere come back as they were."""
    keys = [ground.key("strange/" + name) for name in STRANGE_NAMES]
    for key in keys:
        ground.storage.put(key, key.encode())
        same(key.encode(), content(ground.storage, key), f"the bytes of {key!r}")
        ground.storage.copy(key, key + "c" if len(key) < MAX_SEGMENT else ground.key("c"))
    listed = {stat.key for stat in ground.storage.list(ground.key("strange/"))}
    same([], [key for key in keys if key not in listed], "keys missing from the list")
    ground.storage.delete(*keys)
    for key in keys:
        raises(ObjectNotFound, lambda key=key: ground.storage.stat(key), "stat after delete")  # type: ignore[misc]


def a_key_below_a_key_harms_neither(ground: Ground) -> None:
    """``a`` and ``a/b`` live side by side, or the second is refused as no valid key."""
    for first, second in (("below", "below/b"), ("above/b", "above")):
        one, two = ground.key(first), ground.key(second)
        ground.storage.put(one, SMALL)
        for create_only in (False, True):
            with contextlib.suppress(InvalidKey, ObjectExists):
                ground.storage.put(two, b"second", create_only=create_only)
                same(b"second", content(ground.storage, two), f"the bytes of {second!r}")
        same(SMALL, content(ground.storage, one), f"the bytes of {first!r}")
        ground.storage.delete(two)
        same(SMALL, content(ground.storage, one), f"the bytes of {first!r} after a delete")
        ground.storage.delete(one)
        ground.storage.put(two, SMALL)
        same(SMALL, content(ground.storage, two), f"the bytes of {second!r}, now alone")


def delete_removes_what_it_names(ground: Ground) -> None:
    """All of them, no others, and missing ones are no error."""
    names = ("deletes/a", "deletes/a2", "deletes/b/c", "deletes/d")
    keys = [ground.key(name) for name in names]
    for key in keys:
        ground.storage.put(key, SMALL)
    ground.storage.delete(keys[0], ground.key("deletes/missing"), keys[2], keys[0])
    left = [stat.key for stat in ground.storage.list(ground.key("deletes/"))]
    same([keys[1], keys[3]], left, "what is left")
    ground.storage.delete(keys[0])
    ground.storage.delete()
    ground.storage.delete(ground.key("deletes"))
    same(SMALL, content(ground.storage, keys[1]), "an object below a deleted folder name")


def delete_minds_if_match(ground: Ground) -> None:
    """Only the very state that was asked for goes; nothing there is no error."""
    storage, key = ground.storage, ground.key("delete-matched")
    before = storage.put(key, SMALL)
    storage.put(key, b"other")
    raises(ObjectChanged, lambda: storage.delete(key, if_match=before.etag), "with an old etag")
    same(b"other", content(storage, key), "the bytes of what has another etag")
    two = (key, ground.key("delete-matched-too"))
    raises(ValueError, lambda: storage.delete(*two, if_match=before.etag), "two keys, one etag")
    now = storage.stat(key).etag
    storage.delete(key, if_match=now)
    raises(ObjectNotFound, lambda: storage.stat(key), "stat after delete with its etag")
    storage.delete(key, if_match=now)


def delete_of_a_hostile_key_removes_nothing(ground: Ground) -> None:
    """All keys are looked at before the first is deleted."""
    key = ground.key("survivor")
    ground.storage.put(key, SMALL)
    raises(InvalidKey, lambda: ground.storage.delete(key, "a/../b"), "delete of a hostile key")
    same(SMALL, content(ground.storage, key), "the bytes of the other key")


def copy_keeps_everything(ground: Ground) -> None:
    """Bytes, type, metadata and sha256, of small and large objects."""
    for source in ground.sources():
        original = ground.key(f"copied-{source.size}.png")
        target = ground.key(f"copies/{source.size}.gif")
        before = ground.storage.put(original, source, content_type="a/b", metadata=METADATA)
        returned = ground.storage.copy(original, target)
        stat = ground.storage.stat(target)
        same(stat, replace(returned, modified=stat.modified), "the facts returned")
        expected = (before.size, "a/b", METADATA, source.sha256)
        actual = (stat.size, stat.content_type, dict(stat.metadata), stat.sha256)
        same(expected, actual, "the facts of the copy")
        same(source.sha256, digest(ground.storage, target), "the bytes of the copy")
        intact(ground.storage, original, before, source, "of the original")


def copy_overwrites_or_refuses(ground: Ground) -> None:
    """As asked: a plain copy replaces, a create-only copy leaves what is there."""
    storage = ground.storage
    source = MadeUp(500)
    one, two = ground.key("copy-one"), ground.key("copy-two")
    storage.put(one, source)
    before = storage.copy(one, two, create_only=True)
    storage.put(one, MadeUp(600))
    raises(ObjectExists, lambda: storage.copy(one, two, create_only=True), "create-only")
    intact(storage, two, before, source, "after a refused copy")
    storage.copy(one, two)
    same(600, storage.stat(two).size, "size after a plain copy")


def copy_create_only_has_one_winner(ground: Ground) -> None:
    """Of many copies at the same moment one creates."""
    sources = [MadeUp(100, str(each)) for each in range(6)]
    keys = [ground.key(f"copy-race-{each}") for each in range(6)]
    for key, source in zip(keys, sources, strict=True):
        ground.storage.put(key, source)
    target = ground.key("copy-race")

    def attempt(number: int) -> int | None:
        with contextlib.suppress(ObjectExists):
            ground.storage.copy(keys[number], target, create_only=True)
            return number
        return None

    with ThreadPoolExecutor(len(keys)) as pool:
        winners = [each for each in pool.map(attempt, range(len(keys))) if each is not None]
    same(1, len(winners), "winners of a create-only race")
    same(sources[winners[0]].sha256, digest(ground.storage, target), "the bytes, the winner's")


def copy_of_a_missing_object_says_so(ground: Ground) -> None:
    """And makes nothing."""
    missing, target = ground.key("copy-missing"), ground.key("copy-of-missing")
    raises(ObjectNotFound, lambda: ground.storage.copy(missing, target), "copy")
    absent(ground.storage, target, "after the copy of nothing")


def copy_onto_itself_changes_nothing(ground: Ground) -> None:
    """It is there already; create-only says so."""
    key = ground.key("copy-itself")
    ground.storage.put(key, SMALL, metadata={"a": "b"})
    ground.storage.copy(key, key)
    same(
        (SMALL, {"a": "b"}),
        (content(ground.storage, key), dict(ground.storage.stat(key).metadata)),
        "it",
    )
    again = lambda: ground.storage.copy(key, key, create_only=True)  # noqa: E731 (one call)
    raises(ObjectExists, again, "create-only copy onto itself")


def url_is_public_and_unsigned(ground: Ground) -> None:
    """None, or an address without query that names the key."""
    for name in ("picture.jpg", "a b/ü?.jpg"):
        url = ground.storage.url(ground.key(name))
        true(url is None or ("?" not in url and " " not in url), "no signature, no raw space")
        true(url is None or url.isascii(), "quoted")


def ping_answers(ground: Ground) -> None:
    """The store is there."""
    ground.storage.ping()


def _calls(ground: Ground, key: str, good: str) -> dict[str, Callable[[], object]]:
    """Every method, called with *key*."""
    storage = ground.storage

    def open_it() -> None:
        with storage.open(key):
            pass

    return {
        "put": lambda: storage.put(key, SMALL),
        "put create-only": lambda: storage.put(key, SMALL, create_only=True),
        "open": open_it,
        "stat": lambda: storage.stat(key),
        "delete": lambda: storage.delete(key),
        "copy from": lambda: storage.copy(key, good),
        "copy to": lambda: storage.copy(good, key),
        "url": lambda: storage.url(key),
        "exists": lambda: storage.exists(key),
        "read": lambda: storage.read(key, 1),
        "move from": lambda: storage.move(key, good),
        "move to": lambda: storage.move(good, key),
        "versions": lambda: storage.versions(key),
        "restore": lambda: storage.restore(key, "1"),
        "access": lambda: storage.access(key),
        "set_access": lambda: storage.set_access(key, Access.PRIVATE),
        "signed url": lambda: storage.url(key, expires=60),
        "presign_upload": lambda: storage.presign_upload(key, content_type="a/b", max_size=1),
    }


CHECKS = (
    hostile_keys_are_refused,
    strange_keys_work,
    a_key_below_a_key_harms_neither,
    delete_removes_what_it_names,
    delete_minds_if_match,
    delete_of_a_hostile_key_removes_nothing,
    copy_keeps_everything,
    copy_overwrites_or_refuses,
    copy_create_only_has_one_winner,
    copy_of_a_missing_object_says_so,
    copy_onto_itself_changes_nothing,
    url_is_public_and_unsigned,
    ping_answers,
)
