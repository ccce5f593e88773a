"""The contract of an object's states: what is read, or told, is of one of them, and of which."""

from __future__ import annotations

from collections.abc import Mapping, MutableMapping
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from itertools import cycle, islice

from uploadmill.backends.storage.contract_ground import (
    SMALL,
    Ground,
    MadeUp,
    content,
    raises,
    same,
    true,
)
from uploadmill.backends.storage.contract_read import attempt
from uploadmill.backends.storage.sources import CHUNK
from uploadmill.errors import ObjectChanged, ObjectNotFound, StorageUnavailable

#: Reads while another writes; half of them begin where there are no bytes.
_READS = 20

#: What is written meanwhile, by the name that goes with it.
_STATES = {"small": SMALL, "empty": b""}

#: No store gives such an etag, though servers find a meaning in some of them.
_NO_ETAGS = (
    "",
    " ",
    "*",
    '"',
    "a b",
    "a,b",
    "a\r\nX-Other: b",
    "nul\0byte",
    "tab\t",
    "\xfc",
    "\U0001f600",
    "half\ud800surrogate",
    "x" * 9000,
)


def read_minds_if_match(ground: Ground) -> None:
    """Only the very state that was asked for is read."""
    key = ground.key("matched")
    before = ground.storage.put(key, SMALL)
    with ground.storage.open(key, if_match=before.etag) as stream:
        same(SMALL, stream.read(100), "the bytes, etag matching")
    ground.storage.put(key, b"other")
    raises(ObjectChanged, attempt(ground, key, if_match=before.etag), "open with an old etag")
    again = attempt(ground, key, if_match=before.etag, start=1, length=2)
    raises(ObjectChanged, again, "open of a part with an old etag")
    nothing = attempt(ground, key, if_match=before.etag, length=0)
    raises(ObjectChanged, nothing, "open of no bytes with an old etag")


def an_etag_that_no_store_gives_matches_nothing(ground: Ground) -> None:
    """Nor does a list of etags, or one in quotes: the object has another, and stays."""
    storage, key, missing = ground.storage, ground.key("matched-oddly"), ground.key("matched-not")
    etag = storage.put(key, SMALL).etag
    odd = (f'"{etag}"', f'W/"{etag}', f'x", "{etag}', f"{etag}, x", f"0{etag}", f"{etag} ")
    for wrong in (*_NO_ETAGS, *odd):
        read, what = attempt(ground, key, if_match=wrong), f"with the etag {wrong!r:.30}"
        raises(ObjectChanged, read, f"open {what}")
        raises(ObjectChanged, partial(storage.delete, key, if_match=wrong), f"delete {what}")
        storage.delete(missing, if_match=wrong)
    same(SMALL, content(storage, key), "the bytes after all that")
    for part in ({"start": 1}, {"length": 0}):
        raises(ObjectChanged, attempt(ground, key, if_match="*", **part), f"open of a part, {part}")
    raises(ObjectNotFound, attempt(ground, missing, if_match="*"), "open of nothing")


def read_never_mixes_two_states(ground: Ground) -> None:
    """Overwritten while it is read, an object gives its old bytes or an error."""
    new = MadeUp(ground.large, "new")
    for size in (0, 1000, ground.large):
        key, old = ground.key(f"overwritten-while-read-{size}"), MadeUp(size, "old")
        ground.storage.put(key, old)
        position = 0
        try:
            with ground.storage.open(key) as stream:
                position += len(stream.read(100))
                ground.storage.put(key, new)
                while chunk := stream.read(CHUNK):
                    expected = old.part(position, position + len(chunk))
                    true(expected == chunk, f"the bytes from {position} on are the old ones")
                    position += len(chunk)
                same((size, size), (position, stream.stat.size), "bytes read, and said to be there")
        except (ObjectChanged, StorageUnavailable):
            continue


def read_beside_a_writer_is_of_one_state(ground: Ground) -> None:
    """Bytes, size and metadata belong together, of the whole and of a part that may be missing."""
    key = ground.key("read-beside-a-writer")
    _write(ground, key, "empty")
    with ThreadPoolExecutor(1) as pool:
        for start in (0, 5):
            read = 0
            for name in islice(cycle(("small", "empty")), _READS):
                writing = pool.submit(_write, ground, key, name)
                read += _read(ground, key, start)
                writing.result()
            true(read, f"one of {_READS} reads from {start} beside a writer comes to its end")


def read_finds_its_version(ground: Ground) -> None:
    """A version, where the store keeps any, stays readable by its id."""
    key = ground.key("versions")
    before = ground.storage.put(key, SMALL)
    ground.storage.put(key, b"newer")
    if before.version is not None:
        with ground.storage.open(key, version=before.version) as stream:
            same(SMALL, stream.read(100), "the bytes of an older version")


def what_is_told_is_the_callers_own(ground: Ground) -> None:
    """Who changes the metadata that were given, or were told, changes nothing in the store."""
    key, given = ground.key("told"), {"a": "as put"}
    _spoil(ground.storage.put(key, SMALL, metadata=given).metadata)
    _spoil(given)
    _spoil(ground.storage.stat(key).metadata)
    with ground.storage.open(key) as stream:
        _spoil(stream.stat.metadata)
    same({"a": "as put"}, dict(ground.storage.stat(key).metadata), "the metadata of the object")


def _write(ground: Ground, key: str, name: str) -> None:
    """Make an object one of the states."""
    ground.storage.put(key, _STATES[name], metadata={"state": name})


def _read(ground: Ground, key: str, start: int) -> bool:
    """Read what is of one state, or nothing because it was overwritten: whether it was read."""
    try:
        with ground.storage.open(key, start=start) as stream:
            found = b"".join(iter(lambda: stream.read(CHUNK), b""))
    except (ObjectChanged, StorageUnavailable):
        return False
    name = stream.stat.metadata["state"]
    expected = (len(_STATES[name]), _STATES[name][start:])
    same(expected, (stream.stat.size, found), f"size and bytes from {start} of the state {name!r}")
    return True


def _spoil(metadata: Mapping[str, str]) -> None:
    """Change it, where that can be done."""
    if isinstance(metadata, MutableMapping):
        metadata["a"] = "spoilt"


CHECKS = (
    read_minds_if_match,
    an_etag_that_no_store_gives_matches_nothing,
    read_never_mixes_two_states,
    read_beside_a_writer_is_of_one_state,
    read_finds_its_version,
    what_is_told_is_the_callers_own,
)
