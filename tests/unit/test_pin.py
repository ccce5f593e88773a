"""Pinning: the staged object as it was enqueued, whole, or an error that says what is wrong."""

from __future__ import annotations

import hashlib
from contextlib import contextmanager

import pytest

from uploadmill.backends.storage.memory import MemoryStorage
from uploadmill.errors import (
    SizeLimitExceeded,
    SourceChanged,
    SourceMissing,
    StorageUnavailable,
)
from uploadmill.job import StagedObject
from uploadmill.tasks.pin import Pinned, pin

KEY = "uploads/job/nonce"
CONTENT = b"as it was enqueued" * 100_000
SHA256 = hashlib.sha256(CONTENT).hexdigest()
LIMIT = 10_000_000


class Breaking:
    """A reader whose connection breaks when it has given some bytes."""

    def __init__(self, reader):
        self.reader, self.left = reader, 2

    def read(self, size):
        self.left -= 1
        if self.left == 0:
            raise StorageUnavailable("staging", "the connection broke")
        return self.reader.read(size)


class BreakingStorage(MemoryStorage):
    @contextmanager
    def open(self, *args, **kwargs):
        with super().open(*args, **kwargs) as reader:
            yield Breaking(reader)


@pytest.fixture
def storage():
    return MemoryStorage("staging")


@pytest.fixture
def target(tmp_path):
    return tmp_path / "pin-1-abc-original"


def staged(storage, content=CONTENT, **changes):
    """A reference to an object, as a producer that hashed the bytes makes it."""
    stat = storage.put(KEY, content)
    facts = {"key": KEY, "etag": stat.etag, "size": len(content), "sha256": SHA256}
    return StagedObject(**facts | changes)


def test_the_bytes_are_copied_and_hashed(storage, target):
    pinned = pin(storage, staged(storage), target, LIMIT)

    assert Pinned(SHA256, len(CONTENT)) == pinned
    assert CONTENT == target.read_bytes()


def test_a_producer_that_did_not_hash_is_believed_by_etag_and_size(storage, target):
    assert SHA256 == pin(storage, staged(storage, sha256=None), target, LIMIT).sha256


def test_an_object_that_is_gone_is_a_missing_source(storage, target):
    reference = staged(storage)
    storage.delete(KEY)

    with pytest.raises(SourceMissing, match=KEY):
        pin(storage, reference, target, LIMIT)


def test_an_object_overwritten_since_is_a_changed_source(storage, target):
    reference = staged(storage)
    storage.put(KEY, b"something else")

    with pytest.raises(SourceChanged, match="overwritten"):
        pin(storage, reference, target, LIMIT)


@pytest.mark.parametrize(
    ("content", "changes"),
    [
        (CONTENT[:-1], {"size": len(CONTENT), "sha256": None}),
        (CONTENT + b"!", {"size": len(CONTENT), "sha256": None}),
        (b"x" * len(CONTENT), {}),
    ],
    ids=["shorter", "longer", "other bytes of the same length"],
)
def test_a_store_without_etags_does_not_get_other_bytes_pinned(storage, target, content, changes):
    reference = staged(storage, content, etag=None, **changes)

    with pytest.raises(SourceChanged):
        pin(storage, reference, target, LIMIT)
    assert not target.exists()


def test_an_object_announced_as_too_large_is_not_read(storage, target):
    reference = staged(storage)
    storage.open = None  # type: ignore[method-assign] # calling it would be an error

    with pytest.raises(SizeLimitExceeded):
        pin(storage, reference, target, len(CONTENT) - 1)


def test_reading_stops_at_the_limit_whatever_was_announced(storage, target):
    reference = staged(storage, size=10)

    with pytest.raises(SizeLimitExceeded):
        pin(storage, reference, target, len(CONTENT) - 1)
    assert not target.exists()


def test_a_store_that_breaks_off_leaves_no_half_file_behind(target):
    storage = BreakingStorage("staging")

    with pytest.raises(StorageUnavailable):
        pin(storage, staged(storage), target, LIMIT)
    assert not target.exists()


def test_a_file_of_another_run_is_never_written_over(storage, target):
    target.write_bytes(b"another run's")

    with pytest.raises(FileExistsError):
        pin(storage, staged(storage), target, LIMIT)
    assert b"another run's" == target.read_bytes()
