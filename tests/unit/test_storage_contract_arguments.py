"""Wrong arguments: the contract catches stores that take them, and the messages tell a remedy."""

import io
from contextlib import ExitStack
from datetime import timedelta
from pathlib import Path

import pytest
from services.told_breaker import ToldBreakers
from services.told_store import Clock, ToldStore

from uploadmill.backends.storage import open_storage
from uploadmill.backends.storage.balanced import BalancedStorage
from uploadmill.backends.storage.contract import CHECKS, Ground, run_check
from uploadmill.backends.storage.contract_arguments import NO_SOURCES
from uploadmill.backends.storage.failover import FailoverStorage
from uploadmill.backends.storage.local import LocalStorage
from uploadmill.backends.storage.memory import MemoryStorage
from uploadmill.backends.storage.sources import CHUNK
from uploadmill.errors import InvalidSettings, SizeLimitExceeded


class Broken(MemoryStorage):
    """A good store; each subclass breaks one thing, which only the check named by it catches."""

    caught_by = ""


class TakesPathsAsText(Broken):
    caught_by = "wrong_sources_are_refused"

    def put(self, key, source, **options):
        return super().put(key, Path(source) if isinstance(source, str) else source, **options)


class TakesPipes(Broken):
    caught_by = "wrong_sources_are_refused"

    def put(self, key, source, **options):
        if hasattr(source, "seekable") and not source.seekable() and hasattr(source, "getvalue"):
            source = source.getvalue()
        return super().put(key, source, **options)


class TakesTextFiles(Broken):
    caught_by = "wrong_sources_are_refused"

    def put(self, key, source, **options):
        if isinstance(source, io.StringIO):
            source = source.getvalue().encode()
        return super().put(key, source, **options)


class TakesNothingButBytes(Broken):
    caught_by = "put_takes_bytes_of_any_kind"

    def put(self, key, source, **options):
        if isinstance(source, bytearray):
            raise TypeError("bytes, please")
        return super().put(key, source, **options)


class TakesViewsFromTheirBeginning(Broken):
    caught_by = "put_takes_bytes_of_any_kind"

    def put(self, key, source, **options):
        if isinstance(source, memoryview):
            source = source[::-1]
        return super().put(key, source, **options)


class TakesPathsAsKeys(Broken):
    caught_by = "keys_of_another_type_are_refused"

    def stat(self, key):
        return super().stat(key.as_posix() if isinstance(key, Path) else key)


class DeletesLists(Broken):
    caught_by = "keys_of_another_type_are_refused"

    def delete(self, *keys, **options):
        super().delete(*(keys[0] if keys and isinstance(keys[0], list) else keys), **options)


class DeletesLetters(Broken):
    caught_by = "keys_of_another_type_are_refused"

    def delete_many(self, keys):
        return super().delete_many(iter(keys))


class WritesNumbersAsText(Broken):
    caught_by = "wrong_values_are_refused"

    def put(self, key, source, *, metadata=None, **options):
        if isinstance(metadata, dict):
            metadata = {name: str(value) for name, value in metadata.items()}
        return super().put(key, source, metadata=metadata, **options)


class TakesAnEmptySha256ForNone(Broken):
    caught_by = "wrong_values_are_refused"

    def put(self, key, source, *, sha256=None, **options):
        return super().put(key, source, sha256=sha256 or None, **options)


class KnowsOtherLevels(Broken):
    caught_by = "wrong_values_are_refused"

    def set_access(self, key, access):
        super().set_access(key, "public-read" if access == "public" else access)


class DownloadsToPathsOnly(Broken):
    caught_by = "a_download_goes_to_a_path_as_text_too"

    def download(self, key, target, **options):
        return super().download(key, target.resolve(), **options)


class SaysTheUploadIsTooLarge(Broken):
    caught_by = "read_names_what_is_too_large"

    def read(self, key, limit, **options):
        try:
            return super().read(key, limit, **options)
        except SizeLimitExceeded as error:
            raise SizeLimitExceeded(error.limit, error.actual) from None


@pytest.mark.parametrize("broken", Broken.__subclasses__(), ids=lambda each: each.__name__)
def test_the_contract_catches(broken):
    ground = Ground(broken(), "ground/", CHUNK, 9)

    assert not run_check(broken.caught_by, CHECKS[broken.caught_by], ground).ok


STORES = {
    "memory": lambda _: MemoryStorage(),
    "local": lambda folder: LocalStorage(folder / "root"),
    "failover": lambda _: FailoverStorage(MemoryStorage("a"), MemoryStorage("b")),
    "balanced": lambda _: BalancedStorage(
        {"a": (MemoryStorage("a"), 1.0), "b": (MemoryStorage("b"), 1.0)}
    ),
}


@pytest.fixture(params=STORES)
def storage(request, tmp_path):
    return STORES[request.param](tmp_path)


REMEDIES = {
    "a path as text": r"str; .*Path\(…\).*\.encode\(\)",
    "None": "NoneType; give a Path, bytes, a binary file",
    "a list": "list; give a Path, bytes",
    "a generator": "generator; give a Path, bytes",
    "a text file": "StringIO; open it for bytes: 'rb'",
    "a pipe": "cannot be read again; write it to a temporary file",
    "a file of asyncio": r"asynchronously; give the file inside it, such as \.file",
    "a class": "type; give a Path, bytes",
    "an opener of bytes": "an opener gives what a 'with' can open",
    "an opener of a text file": "a source gives bytes, and this one gave str; open files with 'rb'",
}


@pytest.mark.parametrize("what", NO_SOURCES)
def test_a_wrong_source_is_told_what_to_give(storage, what):
    with pytest.raises(TypeError, match=REMEDIES[what]):
        storage.put("a", NO_SOURCES[what]())

    assert [] == list(storage.list())


def test_wrong_calls_are_told_what_to_give(storage):
    storage.put("a", b"a")
    calls = {
        r"a key is a str; this is a NoneType": lambda: storage.stat(None),
        r"a prefix is a str; this is a PosixPath": lambda: list(storage.list(Path("a"))),
        r"one by one: delete\(\*keys\)": lambda: storage.delete(["a", "b"]),
        r"for one: delete\(key\)": lambda: storage.delete_many("abc"),
        r"metadata 'n' is a str; this is a int": lambda: storage.put("a", b"", metadata={"n": 5}),
        r"metadata are a mapping": lambda: storage.put("a", b"", metadata=[("n", "5")]),
        r"64 hexadecimal digits": lambda: storage.put("a", b"", sha256="zz"),
        r"private, public-read": lambda: storage.put("a", b"", access="public"),
        r"one of: private, public-read": lambda: storage.set_access("a", "public"),
        r"such as 3600; this is a timedelta": lambda: storage.url("a", expires=timedelta(1)),
        r"below 100 years": lambda: storage.url("a", expires=1e300),
        r"half a surrogate pair": lambda: storage.url("a", expires=9, filename="\udc80"),
        r"limit is a whole number; this is a str": lambda: storage.read("a", "5"),
    }
    for message, call in calls.items():
        with pytest.raises((TypeError, ValueError), match=message):
            call()

    assert ["a"] == [stat.key for stat in storage.list()]


def test_a_level_of_access_may_be_given_by_its_name():
    storage = MemoryStorage()

    storage.put("a", b"a", access="public-read")
    assert "public-read" == storage.access("a")
    storage.set_access("a", "private")
    assert "private" == storage.access("a")


def test_a_source_that_can_change_is_put_as_it_was():
    source = bytearray(b"before")
    with ExitStack() as stack:

        class Changing(MemoryStorage):
            def put(self, key, source_, **options):
                source[:] = b"after!"
                return super().put(key, source_, **options)

        storage = FailoverStorage(Changing("a"), MemoryStorage("b"))
        stack.callback(storage.close)

        storage.put("k", source)

    assert b"before" == storage.read("k", 9)


def test_no_store_is_asked_about_a_wrong_argument_and_none_is_held_for_broken():
    clock, breakers = Clock(), ToldBreakers()
    primary, secondary = ToldStore("primary", clock), ToldStore("secondary", clock)
    storage = FailoverStorage(primary, secondary, breakers=breakers, timing=clock.timing)

    wrong = {"metadata": {"a": 5}, "sha256": "zz", "content_type": 5, "max_size": "5"}
    for name, value in wrong.items():
        for create_only in (False, True):
            with pytest.raises((TypeError, ValueError)):
                storage.put("a", b"a", create_only=create_only, **{name: value})

    assert not primary.calls
    assert not secondary.calls
    assert [] == breakers("primary").heard + breakers("secondary").heard


def test_read_over_its_limit_says_whose_object_it_is():
    storage = MemoryStorage("media")
    storage.put("a/b", b"0123456789")

    with pytest.raises(SizeLimitExceeded) as caught:
        storage.read("a/b", 0)

    assert "storage 'media', key 'a/b' has 10 bytes; the limit is 0" == str(caught.value)


def test_a_store_that_is_not_there_cannot_be_drained():
    stores = {"new": (MemoryStorage("new"), 1.0), "old": (MemoryStorage("old"), 0.0)}

    with pytest.raises(ValueError, match="no store 'zzz' to drain; there are: new, old"):
        BalancedStorage(stores).drain("zzz")
    with pytest.raises(InvalidSettings, match="list of names"):
        BalancedStorage(stores, draining="old")


@pytest.mark.parametrize("wrong", ["jpg", b"jpg", [""], [5], ["."]])
def test_extensions_are_a_list(wrong):
    with pytest.raises(InvalidSettings, match=r"a list, such as \['jpg', 'png'\]"):
        open_storage("memory", allowed_extensions=wrong)


@pytest.mark.parametrize("wrong", ["5", -1, 1.5])
def test_a_largest_size_is_a_number_of_bytes(wrong):
    with pytest.raises(InvalidSettings, match="a number of bytes"):
        open_storage("memory", max_file_size=wrong)
