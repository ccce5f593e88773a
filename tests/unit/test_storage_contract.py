"""The contract over memory and local disk; and that it catches a store that breaks it."""

# ruff: noqa: ARG002 (a broken method takes what it ignores)

import itertools
import time
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime

import pytest

from uploadmill.backends.storage.base import CHUNK, opener
from uploadmill.backends.storage.contract import CHECKS, Ground, run_check, run_contract
from uploadmill.backends.storage.local import LocalStorage
from uploadmill.backends.storage.memory import MemoryStorage
from uploadmill.errors import ObjectExists, ObjectNotFound, SizeLimitExceeded

#: Small stand-ins: memory and disk treat all sizes alike.
LARGE, MANY = 3 * CHUNK + 7, 120


def failures(storage):
    return {
        result.name: result.detail
        for result in run_contract(storage, large=LARGE, many=MANY)
        if not result.ok
    }


def test_memory_keeps_the_contract():
    storage = MemoryStorage(public_url="https://cdn.test")

    assert {} == failures(storage)
    assert [] == list(storage.list())


def test_local_keeps_the_contract_and_leaves_no_file(tmp_path):
    storage = LocalStorage(tmp_path / "root", public_url="https://cdn.test")

    assert {} == failures(storage)
    assert [] == [path for path in tmp_path.rglob("*") if path.is_file()]
    assert [".uploadmill"] == [path.name for path in (tmp_path / "root").iterdir()]


def test_a_contract_run_touches_nothing_else():
    storage = MemoryStorage()
    storage.put("mine", b"mine")

    list(run_contract(storage, large=LARGE, many=MANY))

    assert ["mine"] == [stat.key for stat in storage.list()]


def test_a_contract_run_that_is_stopped_leaves_nothing():
    storage = MemoryStorage()
    run = run_contract(storage, large=LARGE, many=MANY)

    list(itertools.islice(run, 5))
    run.close()

    assert [] == list(storage.list())


def test_a_store_that_is_down_fails_each_check_by_name():
    class Down(MemoryStorage):
        def put(self, *_args, **_options):
            raise OSError("down")

    results = list(run_contract(Down(), large=LARGE, many=MANY))

    assert len(CHECKS) + 1 == len(results)
    assert "OSError: down" == results[0].detail
    assert all(result.ms >= 0 for result in results)


class Broken(MemoryStorage):
    """A good store; each subclass breaks one thing."""


class ForgetsMetadata(Broken):
    def put(self, key, source, *, metadata=None, **options):
        return super().put(key, source, **options)


class ForgetsEmptyMetadata(Broken):
    def put(self, key, source, *, metadata=None, **options):
        kept = {name: value for name, value in (metadata or {}).items() if value}
        return super().put(key, source, metadata=kept, **options)


class ForgetsTheType(Broken):
    def put(self, key, source, *, content_type=None, **options):
        return super().put(key, source, **options)


class GuessesNoType(Broken):
    def put(self, key, source, *, content_type=None, **options):
        kind = content_type or "application/octet-stream"
        return super().put(key, source, content_type=kind, **options)


class HoldsWholeSources(Broken):
    def put(self, key, source, **options):
        with opener(source)() as stream:
            return super().put(key, stream.read(1 << 30), **options)


class RewindsFiles(Broken):
    def put(self, key, source, **options):
        if hasattr(source, "seek"):
            source.seek(0)
        return super().put(key, source, **options)


class ClosesFiles(Broken):
    def put(self, key, source, **options):
        stat = super().put(key, source, **options)
        if hasattr(source, "close"):
            source.close()
        return stat


class LeavesSourcesOpen(Broken):
    def put(self, key, source, **options):
        if callable(source):
            source()
        return super().put(key, source, **options)


class OverwritesAlways(Broken):
    def put(self, key, source, *, create_only=False, **options):
        return super().put(key, source, **options)


class LooksBeforeItWrites(Broken):
    def put(self, key, source, *, create_only=False, **options):
        if create_only:
            if any(stat.key == key for stat in self.list(key)):
                raise ObjectExists(self.name, key)
            time.sleep(0.02)
        return super().put(key, source, **options)


class TrustsTheCaller(Broken):
    def put(self, key, source, *, sha256=None, **options):
        return super().put(key, source, **options)


class VerifiesTooLate(Broken):
    def put(self, key, source, *, sha256=None, **options):
        stat = super().put(key, source, **options)
        if sha256 not in (None, stat.sha256):
            return super().put(key, source, sha256=sha256, **options)
        return stat


class IgnoresMaxSize(Broken):
    def put(self, key, source, *, max_size=None, **options):
        return super().put(key, source, **options)


class CutsAtMaxSize(Broken):
    def put(self, key, source, *, max_size=None, **options):
        try:
            return super().put(key, source, max_size=max_size, **options)
        except SizeLimitExceeded:
            return super().put(key, b"cut", **options | {"sha256": None})


class StoresHalfSources(Broken):
    def put(self, key, source, **options):
        if callable(source):
            got = bytearray()
            try:
                with source() as stream:
                    while chunk := stream.read(1000):
                        got += chunk
            finally:
                super().put(key, bytes(got))
        return super().put(key, source, **options)


class SwallowsSourceErrors(Broken):
    def put(self, key, source, **options):
        try:
            return super().put(key, source, **options)
        except Exception as error:
            raise ObjectNotFound(self.name, key) from error


class ReturnsNoSha256(Broken):
    def put(self, key, source, **options):
        return replace(super().put(key, source, **options), sha256=None)


class SaysTheWrongSize(Broken):
    def stat(self, key):
        found = super().stat(key)
        return replace(found, size=found.size + 1)


class KeepsTheEtag(Broken):
    def put(self, key, source, **options):
        return replace(super().put(key, source, **options), etag="same")

    def stat(self, key):
        return replace(super().stat(key), etag="same")


class NaiveTimes(Broken):
    def stat(self, key):
        return replace(super().stat(key), modified=datetime.now(UTC).replace(tzinfo=None))


class OldTimes(Broken):
    def stat(self, key):
        return replace(super().stat(key), modified=datetime(1970, 1, 1, tzinfo=UTC))


class ReadsTheWhole(Broken):
    @contextmanager
    def open(self, key, *, start=0, length=None, **options):
        with super().open(key, **options) as reader:
            yield reader


class RangeEndsOneTooFar(Broken):
    @contextmanager
    def open(self, key, *, length=None, **options):
        with super().open(key, length=length and length + 1, **options) as reader:
            yield reader


class RefusesRangesBeyondTheEnd(Broken):
    @contextmanager
    def open(self, key, *, start=0, **options):
        with super().open(key, start=start, **options) as reader:
            if start > reader.stat.size:
                raise ObjectNotFound(self.name, key)
            yield reader


class IgnoresIfMatch(Broken):
    @contextmanager
    def open(self, key, *, if_match=None, **options):
        with super().open(key, **options) as reader:
            yield reader


class ReadsAllAtOnce(Broken):
    @contextmanager
    def open(self, key, **options):
        with super().open(key, **options) as reader:
            yield _Greedy(reader)


class _Greedy:
    def __init__(self, reader):
        self.stat = reader.stat
        self.reader = reader

    def read(self, _size):
        return self.reader.read(1 << 30)


class MixesStates(Broken):
    @contextmanager
    def open(self, key, **options):
        with super().open(key, **options) as reader:
            yield _Live(self, key, reader.stat, options.get("start", 0), reader)


class _Live:
    def __init__(self, storage, key, stat, position, reader):
        self.storage, self.key, self.stat, self.position = storage, key, stat, position
        self.reader = reader

    def read(self, size):
        chunk = self.reader.read(size)
        with MemoryStorage.open(self.storage, self.key, start=self.position) as now:
            fresh = now.read(len(chunk))
        self.position += len(chunk)
        return fresh


class ReadsNothingWhereNothingIs(Broken):
    @contextmanager
    def open(self, key, **options):
        try:
            self.stat(key)
        except ObjectNotFound:
            super().put("nothing", b"")
            key, options = "nothing", {}
        with super().open(key, **options) as reader:
            yield reader
        self.delete("nothing")


class DeleteRaisesOnMissing(Broken):
    def delete(self, *keys):
        for key in keys:
            self.stat(key)
        super().delete(*keys)


class DeletesTheFirstOnly(Broken):
    def delete(self, *keys):
        super().delete(*keys[:1])


class DeletesByPrefix(Broken):
    def delete(self, *keys):
        super().delete(*keys)
        super().delete(*[stat.key for key in keys for stat in self.list(key)])


class DeletesOneByOne(Broken):
    def delete(self, *keys):
        for key in keys:
            super().delete(key)


class DeletesOnePage(Broken):
    def delete(self, *keys):
        super().delete(*keys[:100])


class DeletesNothing(Broken):
    def delete(self, *keys):
        super().delete(*keys[:0])


class CopyForgetsMetadata(Broken):
    def copy(self, source, target, *, create_only=False):
        with self.open(source) as reader:
            content = reader.read(1 << 30)
        kind = reader.stat.content_type
        return self.put(target, content, content_type=kind, create_only=create_only)


class CopyForgetsTheType(Broken):
    def copy(self, source, target, *, create_only=False):
        with self.open(source) as reader:
            content = reader.read(1 << 30)
        metadata = reader.stat.metadata
        return self.put(target, content, metadata=metadata, create_only=create_only)


class CopyOverwritesAlways(Broken):
    def copy(self, source, target, *, create_only=False):
        return super().copy(source, target)


class CopyNeverOverwrites(Broken):
    def copy(self, source, target, *, create_only=False):
        return super().copy(source, target, create_only=source != target or create_only)


class CopyLooksBeforeItWrites(Broken):
    def copy(self, source, target, *, create_only=False):
        if create_only:
            if any(stat.key == target for stat in self.list(target)):
                raise ObjectExists(self.name, target)
            time.sleep(0.02)
        return super().copy(source, target)


class CopyMoves(Broken):
    def copy(self, source, target, *, create_only=False):
        stat = super().copy(source, target, create_only=create_only)
        if source != target:
            self.delete(source)
        return stat


class CopiesNothingFromNothing(Broken):
    def copy(self, source, target, *, create_only=False):
        try:
            return super().copy(source, target, create_only=create_only)
        except ObjectNotFound:
            return self.put(target, b"")


class ListsWithoutOrder(Broken):
    def list(self, prefix=""):
        return reversed(list(super().list(prefix)))


class ListsOnePage(Broken):
    def list(self, prefix=""):
        return itertools.islice(super().list(prefix), 100)


class ListsWholeFoldersOnly(Broken):
    def list(self, prefix=""):
        folder = prefix.rpartition("/")[0]
        return (stat for stat in super().list(prefix) if prefix in ("", folder + "/", stat.key))


class ListsEverything(Broken):
    def list(self, prefix=""):
        super().list(prefix)
        return super().list()


class ListIgnoresHostilePrefixes(Broken):
    def list(self, prefix=""):
        return iter(self._sorted(prefix))


class ListForgetsTheEtag(Broken):
    def list(self, prefix=""):
        return (replace(stat, etag="") for stat in super().list(prefix))


class SignsUrls(Broken):
    def url(self, key):
        super().url(key)
        return "https://store.test/x?X-Amz-Signature=abc"


class RawUrls(Broken):
    def url(self, key):
        super().url(key)
        return f"https://store.test/{key}"


class PingFails(Broken):
    def ping(self):
        raise OSError("no answer")


def unchecked(method):
    """A store where one method lets hostile keys pass."""

    def call(self, *keys, **options):
        try:
            return getattr(MemoryStorage, method)(self, *keys, **options)
        except Exception as error:
            if "not a valid key" in str(error):
                return None
            raise

    return type(f"UncheckedIn_{method}", (Broken,), {method: call})


BROKEN = [
    *Broken.__subclasses__(),
    *map(unchecked, ("put", "stat", "delete", "copy", "url")),
]


@pytest.mark.parametrize("broken", BROKEN, ids=lambda each: each.__name__)
def test_the_contract_catches(broken):
    ground = Ground(broken(), "ground/", 70_000, MANY)

    results = (run_check(name, check, ground) for name, check in CHECKS.items())

    assert any(not result.ok for result in results), "the contract let it pass"


def test_the_race_checks_pass_on_a_good_store_every_time():
    names = [name for name in CHECKS if "winner" in name]
    ground = Ground(MemoryStorage(), "ground/", LARGE, MANY)
    for _ in range(5):
        results = [run_check(name, CHECKS[name], ground) for name in names]
        assert all(result.ok for result in results)
        ground.storage.delete(*[stat.key for stat in ground.storage.list()])
