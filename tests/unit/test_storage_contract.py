"""The contract over memory and local disk; and that it catches a store that breaks it."""

# ruff: noqa: ARG002 (a broken method takes what it ignores)

import contextlib
import itertools
import json
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime
from urllib.parse import unquote, urlsplit

import pytest
from services.served_memory import ServedMemory, served

from uploadmill.backends.storage.content_types import DEFAULT_TYPE, type_by_extension
from uploadmill.backends.storage.contract import CHECKS, Ground, run_check, run_contract
from uploadmill.backends.storage.features import Access, Feature, PresignedUpload
from uploadmill.backends.storage.local import LocalStorage
from uploadmill.backends.storage.memory import MemoryStorage
from uploadmill.backends.storage.objects import Folder
from uploadmill.backends.storage.sources import CHUNK, opener
from uploadmill.errors import (
    InvalidKey,
    ObjectChanged,
    ObjectExists,
    ObjectNotFound,
    SizeLimitExceeded,
    Unsupported,
)

#: Small stand-ins: memory and disk treat all sizes alike.
LARGE, MANY = 3 * CHUNK + 7, 120


SIGNED = {
    "a_signed_url_reads_the_object",
    "a_signed_url_expires",
    "a_presigned_upload_makes_the_object",
    "a_presigned_upload_refuses_what_was_not_agreed",
}
VERSIONED = {
    "versions_are_kept_and_come_back",
    "versions_outlive_a_delete",
    "versions_of_nothing",
}


def outcome(storage):
    """What fails and why, and what is not offered."""
    results = list(run_contract(storage, large=LARGE, many=MANY))
    failed = {result.name: result.detail for result in results if not result.ok}
    return failed, {result.name for result in results if not result.offered}


def test_memory_keeps_the_contract():
    storage = MemoryStorage(public_url="https://cdn.test")

    assert ({}, SIGNED | VERSIONED) == outcome(storage)
    assert [] == list(storage.list())


def test_memory_with_versions_behind_a_server_offers_everything():
    with served(ServedMemory()) as storage:
        assert ({}, set()) == outcome(storage)


def test_local_keeps_the_contract_and_leaves_no_file(tmp_path):
    storage = LocalStorage(tmp_path / "root", public_url="https://cdn.test")

    assert ({}, SIGNED | VERSIONED | {"access_levels_are_kept"}) == outcome(storage)
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


class Broken(ServedMemory):
    """A good store that offers everything; each subclass breaks one thing."""


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


class TakesAPlainTypeForNone(Broken):
    def put(self, key, source, *, content_type=None, **options):
        kind = type_by_extension(key) if content_type == DEFAULT_TYPE else content_type
        return super().put(key, source, content_type=kind, **options)


class CopyTakesAPlainTypeForNone(Broken):
    def copy(self, source, target, **options):
        stat = super().copy(source, target, **options)
        if stat.content_type != DEFAULT_TYPE or source == target:
            return stat
        kind = type_by_extension(target)
        self._objects[target] = replace(
            self._objects[target], stat=replace(stat, content_type=kind)
        )
        return self.stat(target)


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


class CountsNegativeStartsFromTheEnd(Broken):
    @contextmanager
    def open(self, key, *, start=0, **options):
        from_front = start if start >= 0 else max(self.stat(key).size + start, 0)
        with super().open(key, start=from_front, **options) as reader:
            yield reader


class TakesNegativeLengthsForNone(Broken):
    @contextmanager
    def open(self, key, *, length=None, **options):
        with super().open(key, length=length and max(length, 0), **options) as reader:
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
    def delete(self, *keys, **options):
        for key in keys:
            self.stat(key)
        super().delete(*keys, **options)


class DeletesTheFirstOnly(Broken):
    def delete(self, *keys, **options):
        super().delete(*keys[:1], **options)


class DeletesByPrefix(Broken):
    def delete(self, *keys, **options):
        super().delete(*keys, **options)
        super().delete(*[stat.key for key in keys for stat in self.list(key)])


class DeletesOneByOne(Broken):
    def delete(self, *keys, **options):
        for key in keys:
            super().delete(key, **options)


class DeletesOnePage(Broken):
    def delete(self, *keys, **options):
        super().delete(*keys[:100], **options)


class DeletesNothing(Broken):
    def delete(self, *keys, **options):
        super().delete(*keys[:0])


class DeletesAnyState(Broken):
    def delete(self, *keys, if_match=None):
        super().delete(*keys)


class DeletesNoState(Broken):
    def delete(self, *keys, if_match=None):
        if if_match is None:
            super().delete(*keys)


class DeletesNoMissingState(Broken):
    def delete(self, *keys, if_match=None):
        if if_match is not None and not any(map(self.exists, keys)):
            raise ObjectNotFound(self.name, keys[0])
        super().delete(*keys, if_match=if_match)


class DeletesTheFirstOfAState(Broken):
    def delete(self, *keys, if_match=None):
        super().delete(*(keys if if_match is None else keys[:1]), if_match=if_match)


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


class Relisted(Broken):
    """Lists that are not what they were: a subclass changes the entries."""

    def list(self, prefix="", **options):
        listing = super().list(prefix, **options)
        return Changed(listing, self.changed(listing, prefix))

    def changed(self, entries, prefix):
        return entries


class Changed:
    """Other entries, with the token of the listing they come from."""

    def __init__(self, listing, entries):
        self.listing, self.entries = listing, iter(entries)

    def __iter__(self):
        return self.entries

    def __next__(self):
        return next(self.entries)

    @property
    def token(self):
        return self.listing.token


class ListsWithoutOrder(Relisted):
    def changed(self, entries, prefix):
        return reversed(list(entries))


class ListsOnePage(Relisted):
    def changed(self, entries, prefix):
        return itertools.islice(entries, 100)


class ListsWholeFoldersOnly(Relisted):
    def changed(self, entries, prefix):
        folder = prefix.rpartition("/")[0]
        return (entry for entry in entries if prefix in ("", folder + "/", entry.key))


class ListForgetsTheEtag(Relisted):
    def changed(self, entries, prefix):
        return (
            entry if isinstance(entry, Folder) else replace(entry, etag="") for entry in entries
        )


class ListsFoldersLast(Relisted):
    def changed(self, entries, prefix):
        return sorted(entries, key=lambda entry: (isinstance(entry, Folder), entry.key))


class ListsAFolderPerObject(Relisted):
    def changed(self, entries, prefix):
        for entry in entries:
            yield entry
            if isinstance(entry, Folder):
                yield entry


class ListsEverything(Broken):
    def list(self, prefix="", **options):
        super().list(prefix, **options)
        return super().list(**options)


class ListIgnoresHostilePrefixes(Broken):
    def list(self, prefix="", **options):
        try:
            return super().list(prefix, **options)
        except InvalidKey:
            return super().list("nothing/")


class ListIgnoresTheDelimiter(Broken):
    def list(self, prefix="", *, delimiter=None, **options):
        return super().list(prefix, **options)


class ListIgnoresTheLimit(Broken):
    def list(self, prefix="", *, limit=None, **options):
        return super().list(prefix, **options)


class ListIgnoresTheToken(Broken):
    def list(self, prefix="", *, token=None, **options):
        return super().list(prefix, **options)


class ListTakesAnEmptyTokenForNone(Broken):
    def list(self, prefix="", *, token=None, **options):
        return super().list(prefix, token=token or None, **options)


class ListForgetsItsToken(Relisted):
    def list(self, prefix="", **options):
        return list(super().list(prefix, **options)) and Changed(Tokenless, iter(()))


class Tokenless:
    token = None


class ListAlwaysHasMore(Broken):
    def list(self, prefix="", **options):
        listing = super().list(prefix, **options)
        changed = Changed(listing, listing)
        changed.listing = type("More", (), {"token": listing.token or "YQ=="})
        return changed


class ExistsAlways(Broken):
    def exists(self, key):
        super().exists(key)
        return True


class ExistsByPrefix(Broken):
    def exists(self, key):
        return super().exists(key) or any(self.list(key))


class ReadsUpToTheLimit(Broken):
    def read(self, key, limit, **options):
        with self.open(key, **options) as reader:
            return reader.read(limit)


class ReadsBeyondTheLimit(Broken):
    def read(self, key, limit, **options):
        return super().read(key, 1 << 30, **options)


class ReadsTheWholeForAPart(Broken):
    def read(self, key, limit, *, start=0, length=None, **options):
        return super().read(key, 1 << 30, **options)


class LimitsThePartByTheWhole(Broken):
    def read(self, key, limit, **options):
        if self.stat(key).size > limit:
            raise SizeLimitExceeded(limit)
        return super().read(key, limit, **options)


class DownloadsTheWholeForAPart(Broken):
    def download(self, key, target, *, start=0, length=None, **options):
        return super().download(key, target, **options)


class DownloadTellsThePartsSize(Broken):
    def download(self, key, target, **options):
        return replace(super().download(key, target, **options), size=target.stat().st_size)


class DownloadsInPlace(Broken):
    def download(self, key, target, **options):
        target.write_bytes(b"")
        return super().download(key, target, **options)


class DownloadsBeside(Broken):
    def download(self, key, target, **options):
        target.with_name("beside").touch()
        return super().download(key, target, **options)


class DownloadsHalf(Broken):
    def download(self, key, target, **options):
        stat = super().download(key, target, **options)
        target.write_bytes(target.read_bytes()[: stat.size // 2])
        return stat


class MoveLeavesTheSource(Broken):
    def move(self, source, target, **options):
        return self.copy(source, target, **options)


class MoveDeletesFirst(Broken):
    def move(self, source, target, *, create_only=False):
        with self.open(source) as reader:
            content = reader.read(1 << 30)
        self.delete(source)
        return self.put(target, content, create_only=create_only)


class MoveForgetsTheFacts(Broken):
    def move(self, source, target, *, create_only=False):
        with self.open(source) as reader:
            content = reader.read(1 << 30)
        stat = self.put(target, content, create_only=create_only)
        if source != target:
            self.delete(source)
        return stat


class MoveOverwritesAlways(Broken):
    def move(self, source, target, *, create_only=False):
        return super().move(source, target)


class MoveOntoItselfDeletes(Broken):
    def move(self, source, target, **options):
        if source != target:
            return super().move(source, target, **options)
        stat = self.stat(source)
        self.delete(source)
        return stat


class DeletesManyOnlyFirst(Broken):
    def delete_many(self, keys):
        keys = list(keys)
        self.delete(*keys[:1])
        return len(keys)


class CountsDeletionsWrong(Broken):
    def delete_many(self, keys):
        return super().delete_many(keys) + 1


class ForgetsCacheControl(Broken):
    def put(self, key, source, *, cache_control=None, **options):
        return super().put(key, source, **options)


class ForgetsTheDisposition(Broken):
    def put(self, key, source, *, content_disposition=None, **options):
        return super().put(key, source, **options)


class CopyForgetsTheHeaders(Broken):
    def copy(self, source, target, *, create_only=False):
        with self.open(source) as reader:
            content = reader.read(1 << 30)
        stat = reader.stat
        return self.put(
            target,
            content,
            content_type=stat.content_type,
            metadata=stat.metadata,
            create_only=create_only,
        )


class VersionsOldestFirst(Broken):
    def versions(self, key):
        return reversed(list(super().versions(key)))


class VersionsWithoutTheNewest(Broken):
    def versions(self, key):
        return itertools.islice(super().versions(key), 1, None)


class VersionsByPrefix(Broken):
    def versions(self, key):
        keys = [key, *(stat.key for stat in self.list(key) if stat.key != key)]
        return (stat for each in keys for stat in MemoryStorage.versions(self, each))


class VersionsGoWithTheObject(Broken):
    def delete(self, *keys, **options):
        super().delete(*keys, **options)
        for key in keys:
            self._older.pop(key, None)


class OpensTheNewestVersion(Broken):
    @contextmanager
    def open(self, key, *, version=None, **options):
        with super().open(key, **options) as reader:
            yield reader


class RestoreForgetsTheFacts(Broken):
    def restore(self, key, version):
        with self.open(key, version=version) as reader:
            return self.put(key, reader.read(1 << 30))


class RestoreDropsTheNewest(Broken):
    def restore(self, key, version):
        newest = self.stat(key).version
        stat = super().restore(key, version)
        self._older[key] = [each for each in self._older[key] if each.stat.version != newest]
        return stat


class RestoreDoesNothing(Broken):
    def restore(self, key, version):
        with self.open(key, version=version) as reader:
            return reader.stat


class HasNoVersionsAndDoesNotSaySo(Broken):
    def put(self, key, source, **options):
        return replace(super().put(key, source, **options), version=None)

    def stat(self, key):
        return replace(super().stat(key), version=None)

    def versions(self, key):
        super().versions(key)
        return iter(())


class ForgetsTheAccess(Broken):
    def put(self, key, source, *, access=None, **options):
        return super().put(key, source, **options)


class KeepsTheOldAccess(Broken):
    def put(self, key, source, **options):
        before = self.access(key) if self.exists(key) else None
        stat = super().put(key, source, **options)
        self.set_access(key, before or self.access(key))
        return stat


class ChangesNoAccess(Broken):
    def set_access(self, key, access):
        super().access(key)


class AccessOfNothingIsPrivate(Broken):
    def access(self, key):
        try:
            return super().access(key)
        except ObjectNotFound:
            return Access.PRIVATE


class RefusesAccessTooLate(Broken):
    def put(self, key, source, *, access=None, **options):
        stat = super().put(key, source, **options)
        if access is not None:
            raise Unsupported(self.name, key)
        return stat


class OpensWhatItCannotPut(Broken):
    def __init__(self):
        super().__init__()
        self.lacks[Feature.ACCESS_LEVELS] = "says the test"

    def put(self, key, source, *, access=None, **options):
        if callable(source):
            with source():
                pass
        return super().put(key, source, access=access, **options)


class SignsUrls(Broken):
    def url(self, key, **options):
        return super().url(key, **options) or "https://store.test/x?X-Amz-Signature=abc"


class RawUrls(Broken):
    def url(self, key, **options):
        return super().url(key, **options) or f"https://store.test/{key}"


class SignsForEver(Broken):
    def _signed_url(self, key, expires, disposition):
        return super()._signed_url(key, expires + 1000, disposition)


class SignsNothing(Broken):
    def answer(self, path):
        key = unquote(urlsplit(path).path[1:])
        _, headers, _ = super().answer(path)
        headers = {"Content-Type": self.stat(key).content_type, **headers}
        return 200, headers, self.read(key, 1000)


class ForgetsTheDownloadName(Broken):
    def _signed_url(self, key, expires, disposition):
        return super()._signed_url(key, expires, None)


class SignsAnotherType(Broken):
    def answer(self, path):
        status, headers, body = super().answer(path)
        return status, headers | {"Content-Type": "text/html"}, body


class FormsTakeAnySize(Broken):
    def _presigned_upload(self, key, content_type, sizes, expires):
        return super()._presigned_upload(key, content_type, range(1 << 30), expires)


class FormsTakeSmallOnes(Broken):
    def _presigned_upload(self, key, content_type, sizes, expires):
        return super()._presigned_upload(key, content_type, range(sizes.stop), expires)


class FormsTakeAnyType(Broken):
    def take(self, fields, body):
        agreed = json.loads(fields["policy"])[1]
        kind, fields["Content-Type"] = fields["Content-Type"], agreed
        status = super().take(fields, body)
        if status == 204:
            super().put(fields["key"], body, content_type=kind)
        return status


class FormsTakeAnyKey(Broken):
    def take(self, fields, body):
        agreed = json.loads(fields["policy"])[0]
        key, fields["key"] = fields["key"], agreed
        status = super().take(fields, body)
        if status == 204 and key != agreed:
            self.move(agreed, key)
        return status


class FormsTakeNothing(Broken):
    def _presigned_upload(self, key, content_type, sizes, expires):
        return PresignedUpload(self.address, {"key": key})

    def take(self, fields, body):
        return 403


class PingFails(Broken):
    def ping(self):
        raise OSError("no answer")


def unchecked(method):
    """A store where one method lets hostile keys pass."""

    def call(self, *keys, **options):
        try:
            return getattr(ServedMemory, method)(self, *keys, **options)
        except Exception as error:
            if "not a valid key" in str(error):
                return None
            raise

    return type(f"UncheckedIn_{method}", (Broken,), {method: call})


BROKEN = [
    *(each for each in Broken.__subclasses__() if each is not Relisted),
    *Relisted.__subclasses__(),
    *map(unchecked, ("put", "stat", "delete", "copy", "url", "exists", "read", "move")),
    *map(unchecked, ("versions", "restore", "access", "set_access", "presign_upload")),
]


def faults(storage):
    """The names of the checks that a store fails, as they are found."""
    ground = Ground(storage, "ground/", 70_000, MANY)
    results = (run_check(name, check, ground) for name, check in CHECKS.items())
    return (result.name for result in results if not result.ok)


@pytest.mark.usefixtures("unmeasured")
@pytest.mark.parametrize("broken", BROKEN, ids=lambda each: each.__name__)
def test_the_contract_catches(broken):
    with served(broken()) as storage:
        assert any(faults(storage)), "the contract let it pass"


def test_the_contract_catches_nothing_where_nothing_is_broken():
    with served(Broken()) as storage:
        assert [] == list(faults(storage))


@pytest.mark.parametrize("make", [lambda _: MemoryStorage(), LocalStorage], ids=["memory", "local"])
def test_of_an_overwrite_and_a_delete_by_etag_the_overwrite_stays(make, tmp_path):
    storage = make(tmp_path)

    def delete(etag):
        with contextlib.suppress(ObjectChanged):
            storage.delete("a", if_match=etag)

    with ThreadPoolExecutor(2) as pool:
        for each in range(50):
            before = storage.put("a", b"old")
            new = f"new {each}".encode()
            both = [pool.submit(delete, before.etag), pool.submit(storage.put, "a", new)]
            assert [] == [done.exception() for done in both if done.exception()]
            assert new == storage.read("a", 100)


def test_the_race_checks_pass_on_a_good_store_every_time():
    names = [name for name in CHECKS if "winner" in name]
    ground = Ground(MemoryStorage(), "ground/", LARGE, MANY)
    for _ in range(5):
        results = [run_check(name, CHECKS[name], ground) for name in names]
        assert all(result.ok for result in results)
        ground.storage.delete(*[stat.key for stat in ground.storage.list()])
