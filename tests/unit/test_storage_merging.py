"""One list of several stores' lists, where some list folder by folder."""

import itertools
import random

import pytest

from uploadmill.backends.storage.balanced import BalancedStorage
from uploadmill.backends.storage.contract import CHECKS, Ground, run_check, run_contract
from uploadmill.backends.storage.failover import FailoverStorage
from uploadmill.backends.storage.listing import Page
from uploadmill.backends.storage.local import LocalStorage
from uploadmill.backends.storage.memory import MemoryStorage
from uploadmill.backends.storage.objects import Folder
from uploadmill.backends.storage.sources import CHUNK
from uploadmill.errors import StorageUnavailable

NAMES = ("a b", "a-b", "a-c-d/e", "a-c/d", "a-c/d-e", "a.b", "a/b", "a/b-c", "a/c/d", "a0", "é/ü")


class Unsorted(MemoryStorage):
    """Lists as a server that compares folder by folder, in pages of two; and does not say so."""

    def _walk(self, ask, after):
        found = list(super()._walk(ask, ""))
        found.sort(key=lambda entry: entry.key.removesuffix("/").split("/"))
        first = int(after) if after else 0
        return itertools.islice(found, first, None), first

    def _pages(self, ask):
        found, first = self._walk(ask, ask.token)
        entries = list(itertools.islice(found, ask.limit))
        more = next(found, None) is not None
        for at in range(0, len(entries), 2):
            end = at + len(entries[at : at + 2])
            yield Page(entries[at:end], str(first + end) if more or end < len(entries) else None)


class ByFolder(Unsorted):
    def lists_by_folder(self):
        return True


def filled(store, names):
    for name in names:
        store.put(name, store.name.encode())
    return store


def keys(storage, **options):
    return [entry.key for entry in storage.list(**options)]


def pieces(storage, limit, **options):
    found, token = [], None
    while True:
        piece = storage.list(limit=limit, token=token, **options)
        more = [entry.key for entry in piece]
        assert len(more) <= limit
        found += more
        token = piece.token
        if token is None:
            return found


def test_the_double_lists_as_such_a_server_does():
    store = filled(ByFolder("s3"), NAMES)

    assert ["a/b", "a/b-c", "a/c/d", "a b"] == keys(store)[:4]
    assert ["a/", "a b", "a-b", "a-c/", "a-c-d/", "a.b"] == keys(store, delimiter="/")[:6]


@pytest.mark.parametrize("limit", [1, 2, 3, 7, 100])
@pytest.mark.parametrize("first", [ByFolder, MemoryStorage])
@pytest.mark.parametrize("second", [ByFolder, LocalStorage])
def test_each_key_comes_once_and_in_order(tmp_path, first, second, limit):
    primary = filled(first("primary"), NAMES[::2])
    made = second(tmp_path / "root", name="b") if second is LocalStorage else second("b")
    storage = FailoverStorage(primary, filled(made, NAMES[1:]))

    assert sorted(NAMES) == keys(storage) == pieces(storage, limit)
    level = ["a b", "a-b", "a-c-d/", "a-c/", "a.b", "a/", "a0", "é/"]
    assert level == keys(storage, delimiter="/") == pieces(storage, limit, delimiter="/")
    for prefix in ("a", "a-", "a-c/", "a/", "a/b", "nothing"):
        expected = sorted(name for name in NAMES if name.startswith(prefix))
        assert expected == keys(storage, prefix=prefix) == pieces(storage, limit, prefix=prefix)


def test_a_key_in_both_has_the_facts_of_the_first():
    primary, secondary = filled(ByFolder("p"), NAMES), filled(MemoryStorage("secondary"), NAMES)

    listed = list(FailoverStorage(primary, secondary).list())

    assert [1] * len(NAMES) == [stat.size for stat in listed]


def test_any_keys_come_once_and_in_order():
    chosen = random.Random(7)  # noqa: S311 (names, not secrets)
    names = {
        "/".join(
            "".join(chosen.choices("ab-. ", k=chosen.randint(1, 3))).strip(".") or "x"
            for _ in range(chosen.randint(1, 4))
        )
        for _ in range(300)
    }
    stores = {name: (ByFolder(name), 1.0) for name in ("a", "b")} | {"c": (MemoryStorage("c"), 1.0)}
    storage = filled(BalancedStorage(stores), names)

    assert sorted(names) == keys(storage) == pieces(storage, 13)
    tops = {name.split("/")[0] + ("/" if "/" in name else "") for name in names}
    assert sorted(tops) == keys(storage, delimiter="/") == pieces(storage, 13, delimiter="/")


def test_a_composite_with_such_a_store_keeps_the_contract():
    storage = FailoverStorage(ByFolder("primary"), MemoryStorage("secondary"))

    failed = [each for each in run_contract(storage, large=3 * CHUNK + 7, many=120) if not each.ok]

    assert [] == failed


@pytest.mark.parametrize("token", ["!!", "YS8v", "W251bGwsbnVsbF0="])
def test_what_is_no_token_is_refused(token):
    storage = FailoverStorage(ByFolder("primary"), MemoryStorage("secondary"))

    with pytest.raises(ValueError, match="no token"):
        list(storage.list(token=token))


def test_a_store_that_is_in_no_order_and_does_not_say_so_is_not_merged_wrongly():
    storage = FailoverStorage(filled(Unsorted("s3"), NAMES), MemoryStorage("b"))

    with pytest.raises(StorageUnavailable, match="give lists_by_folder"):
        keys(storage)


OF_ORDER = ("list_gives_each_key_once_beside_folders", "list_gives_each_folder_once_beside_keys")


@pytest.mark.parametrize("name", OF_ORDER)
def test_the_contract_catches_a_store_that_is_in_no_order_and_does_not_say_so(name):
    assert not run_check(name, CHECKS[name], Ground(Unsorted(), "ground/", CHUNK, 9)).ok
    assert run_check(name, CHECKS[name], Ground(ByFolder(), "ground/", CHUNK, 9)).ok


class GivesAKeyTwice(MemoryStorage):
    """As a composite did whose stores are in two orders."""

    def _walk(self, ask, after):
        for entry in super()._walk(ask, after):
            yield entry
            if entry.key.endswith("a-b"):
                yield entry


class LosesWhatIsBesideAFolder(MemoryStorage):
    def _walk(self, ask, after):
        found = list(super()._walk(ask, after))
        folders = {entry.key[:-1] for entry in found if isinstance(entry, Folder)}
        return (entry for entry in found if entry.key[:-2] not in folders)


@pytest.mark.parametrize("broken", [GivesAKeyTwice, LosesWhatIsBesideAFolder])
def test_the_contract_catches(broken):
    ground = Ground(broken(), "ground/", CHUNK, 9)

    assert [] != [name for name in OF_ORDER if not run_check(name, CHECKS[name], ground).ok]
