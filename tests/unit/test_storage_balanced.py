"""Several stores as one: spread by weight, found after a change, emptied without loss."""

from __future__ import annotations

from collections import Counter

import pytest
from services.told_store import Clock, ToldStore, broken, down

from uploadmill.backends.storage.balanced import BalancedStorage, score
from uploadmill.backends.storage.contract import run_contract
from uploadmill.backends.storage.failover import FailoverStorage
from uploadmill.backends.storage.memory import MemoryStorage
from uploadmill.backends.storage.sources import CHUNK
from uploadmill.errors import (
    IntegrityError,
    InvalidSettings,
    ObjectChanged,
    ObjectExists,
    ObjectNotFound,
    StorageUnavailable,
)

LARGE, MANY = 3 * CHUNK + 7, 120

KEYS = [f"{number:04}/picture.jpg" for number in range(2000)]

#: Of chi square with two degrees of freedom: more in one case of a thousand. The hash is fixed,
#: so a good one passes always.
CHI_SQUARE = 13.8


class Killed(BaseException):
    """The process ends here."""


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def stores(clock):
    return {name: ToldStore(name, clock) for name in ("one", "two", "three")}


def balanced(stores, clock=None, *, draining=(), **weights):
    """All *stores*, of weight 1 where nothing else is said."""
    timing = (clock or next(iter(stores.values())).clock).timing
    members = {name: (store, weights.get(name, 1.0)) for name, store in stores.items()}
    return BalancedStorage(members, draining=draining, timing=timing)


def keys(store):
    return [stat.key for stat in MemoryStorage.list(store)]


def where(stores, key):
    return [name for name, store in stores.items() if key in keys(store)]


def homes(storage):
    return {key: storage.home(key) for key in KEYS}


def failures(storage):
    results = run_contract(storage, large=LARGE, many=MANY)
    return {result.name: result.detail for result in results if not result.ok}


def test_three_good_stores_keep_the_contract(stores):
    assert {} == failures(balanced(stores))
    assert [[], [], []] == [keys(store) for store in stores.values()]


def test_they_keep_it_while_one_of_them_drains(stores):
    stores["two"].put("others", b"others")

    assert {} == failures(balanced(stores, draining=["two"], one=3.0))
    assert ["others"] == keys(stores["two"])


def test_they_keep_it_where_each_is_two_stores(clock):
    pairs = {
        name: FailoverStorage(
            ToldStore(f"{name}-a", clock), ToldStore(f"{name}-b", clock), name=name
        )
        for name in ("one", "two")
    }
    assert {} == failures(balanced(pairs, clock))


@pytest.mark.parametrize("weights", [{}, {"one": 1, "two": 2, "three": 5}, {"two": 0.25}])
def test_objects_are_spread_by_weight(stores, weights):
    counted = Counter(homes(balanced(stores, **weights)).values())

    shares = {name: weights.get(name, 1.0) for name in stores}
    expected = {name: len(KEYS) * share / sum(shares.values()) for name, share in shares.items()}
    chi_square = sum((counted[name] - fair) ** 2 / fair for name, fair in expected.items())
    assert chi_square < CHI_SQUARE, counted


def test_where_an_object_goes_is_the_same_in_every_release():
    # Of a changed hash every stored object would be in the wrong place.
    assert [4.6545, 0.396, 2.5795] == [
        round(score(name, 1.0, "some/key.jpg"), 4) for name in ("one", "two", "three")
    ]


def test_a_store_more_takes_its_share_and_nothing_else_moves(stores, clock):
    before = homes(balanced(stores))
    after = homes(balanced({**stores, "four": ToldStore("four", clock)}))

    moved = {key for key in KEYS if before[key] != after[key]}
    assert {"four"} == {after[key] for key in moved}
    assert len(KEYS) / 4 * 0.85 < len(moved) < len(KEYS) / 4 * 1.15


def test_a_store_less_gives_its_share_to_the_others_and_nothing_else_moves(stores):
    before = homes(balanced(stores))
    after = homes(balanced(stores, draining=["two"]))

    assert {"two"} == {before[key] for key in KEYS if before[key] != after[key]}
    assert "two" not in after.values()


def test_a_greater_weight_takes_and_gives_nothing(stores):
    before, after = homes(balanced(stores)), homes(balanced(stores, one=2.0))

    assert {"one"} == {after[key] for key in KEYS if before[key] != after[key]}


def test_objects_go_home(stores):
    storage = balanced(stores)
    for key in KEYS[:50]:
        storage.put(key, b"1")

    assert all([storage.home(key)] == where(stores, key) for key in KEYS[:50])


def test_reads_find_objects_after_weights_have_changed(stores):
    before = balanced(stores)
    for key in KEYS[:50]:
        before.put(key, key.encode())

    for weights in ({"one": 9.0}, {"one": 0.01}, {"one": 0.0}):
        after = balanced(stores, **weights)
        assert [key.encode() for key in KEYS[:50]] == [after.read(key, 99) for key in KEYS[:50]]
        assert KEYS[:50] == [stat.key for stat in after.list()]


def moving(stores):
    """A key that a heavier ``one`` takes away from another store."""
    before, after = balanced(stores), balanced(stores, one=9.0)
    key = next(key for key in KEYS if before.home(key) != after.home(key))
    return key, before, after


def test_a_key_that_lies_elsewhere_is_not_created_again(stores):
    key, before, after = moving(stores)
    before.put(key, b"first")

    with pytest.raises(ObjectExists):
        after.put(key, b"second", create_only=True)
    with pytest.raises(ObjectExists):
        after.copy(key, key, create_only=True)

    assert b"first" == after.read(key, 9)


def test_nobody_creates_what_another_store_may_have(stores):
    key, _, after = moving(stores)
    other = next(name for name in stores if name != after.home(key))
    stores[other].fails(broken())

    with pytest.raises(StorageUnavailable, match=other):
        after.put(key, b"1", create_only=True)

    assert [] == where(stores, key)


def test_an_overwritten_object_leaves_no_older_one_elsewhere(stores):
    key, before, after = moving(stores)
    before.put(key, b"older")

    after.put(key, b"newer")

    assert ["one"] == where(stores, key)
    assert b"newer" == before.read(key, 9)


def test_what_is_out_takes_only_its_own_objects_along(stores):
    storage = balanced(stores)
    for key in KEYS[:30]:
        storage.put(key, b"1")
    stores["two"].fails(broken())

    for key in KEYS[:30]:
        if storage.home(key) == "two":
            with pytest.raises(StorageUnavailable):
                storage.put(key, b"2")
        else:
            storage.put(key, b"2")
            assert b"2" == storage.read(key, 9)
    with pytest.raises(StorageUnavailable):
        storage.ping()


def test_a_passing_failure_is_outlasted(stores, clock):
    storage = balanced(stores)
    stores[storage.home("a")].fails(down(), "put", times=2)

    storage.put("a", b"1")

    assert [0.1, 0.4] == clock.slept


def test_a_lost_reply_does_not_blame_somebody_else(stores):
    storage = balanced(stores)
    stores[storage.home("a")].fails(down(), "put", times=1, lands=True)

    with pytest.raises(StorageUnavailable, match="may be our own"):
        storage.put("a", b"1", create_only=True)


# -- draining ----------------------------------------------------------------------------------


def filled(stores, count=40):
    storage = balanced(stores)
    for key in KEYS[:count]:
        storage.put(key, key.encode(), content_type="a/b", metadata={"key": key[:4]})
    return storage


def all_there(storage, count=40):
    return all(
        (key.encode(), "a/b", key[:4])
        == (
            storage.read(key, 99, verify=True),
            storage.stat(key).content_type,
            storage.stat(key).metadata["key"],
        )
        for key in KEYS[:count]
    )


def test_a_store_drains_without_loss(stores):
    filled(stores)
    storage = balanced(stores, draining=["two"])
    had = keys(stores["two"])

    assert had
    assert had == list(storage.drain("two"))
    assert [] == keys(stores["two"])
    assert all_there(storage)
    assert all([storage.home(key)] == where(stores, key) for key in KEYS[:40])
    assert [] == list(storage.drain("two"))


def test_an_object_that_cannot_be_moved_does_not_hold_up_the_others(stores, caplog):
    filled(stores)
    first, *others = keys(stores["two"])
    assert others
    rotten = stores["two"]._objects[first]
    object.__setattr__(rotten, "content", b"?" * len(rotten.content))
    moved = []

    with pytest.raises(IntegrityError, match=first):
        moved.extend(balanced(stores, draining=["two"]).drain("two"))

    assert others == moved
    assert [first] == keys(stores["two"])
    assert ["not_moved"] == [each.message for each in caplog.records]


def test_what_takes_new_objects_does_not_drain(stores):
    with pytest.raises(ValueError, match="draining"):
        list(balanced(stores).drain("two"))


def calls_of_a_drain(stores):
    """Every call that emptying a store makes, in order."""
    calls = []
    for store in stores.values():
        store.before = lambda *call: calls.append(call)
    list(balanced(stores, draining=["two"]).drain("two"))
    return calls


def test_a_drain_that_is_killed_at_any_call_loses_nothing(clock):
    def fresh():
        made = {name: ToldStore(name, clock) for name in ("one", "two", "three")}
        filled(made, 4)
        return made

    calls = calls_of_a_drain(fresh())
    assert {"list", "stat", "put", "open", "delete"} <= {call for _, call in calls}
    for number in range(len(calls)):
        stores, left = fresh(), iter(range(number))

        def kill(*_call, left=left):
            if next(left, None) is None:
                raise Killed

        for store in stores.values():
            store.before = kill
        with pytest.raises(Killed):
            list(balanced(stores, draining=["two"]).drain("two"))
        for store in stores.values():
            store.before = lambda *_call: None

        storage = balanced(stores, draining=["two"])
        assert all_there(storage, 4), f"after {number} calls"
        list(storage.drain("two"))
        assert all_there(storage, 4), f"after {number} calls and another run"
        assert [] == keys(stores["two"])


def test_two_drains_at_once_lose_nothing(stores):
    filled(stores)
    one, two = (balanced(stores, draining=["two"]).drain("two") for _ in range(2))

    for _ in one:
        next(two, None)
    list(two)

    assert [] == keys(stores["two"])
    assert all_there(balanced(stores, draining=["two"]))


def test_every_object_is_to_be_read_at_every_moment_of_a_drain(stores):
    filled(stores, 8)
    storage = balanced(stores, draining=["two"])
    seen = []

    def look(_store, _call):
        for store in stores.values():
            store.before = lambda *_call: None
        seen.append(all_there(storage, 8))
        for store in stores.values():
            store.before = look

    for store in stores.values():
        store.before = look
    list(storage.drain("two"))

    assert seen
    assert all(seen)


def test_a_reader_does_not_miss_what_moves_past_it(stores):
    filled(stores)
    storage = balanced(stores, draining=["two"])
    key = keys(stores["two"])[0]
    drain = storage.drain("two")

    def move(store, call):
        # The reader has looked at the new home in vain, and comes to the old one.
        if (store, call) == ("two", "stat"):
            stores["two"].before = lambda *_call: None
            assert key == next(drain)

    stores["two"].before = move

    assert 4 == len(storage.stat(key).metadata["key"])


def test_what_the_new_home_has_already_is_newer_and_stays(stores):
    key = next(key for key in KEYS if balanced(stores).home(key) == "two")
    stores["two"].put(key, b"older")
    storage = balanced(stores, draining=["two"])
    stores[storage.home(key)].put(key, b"newer")

    list(storage.drain("two"))

    assert b"newer" == storage.read(key, 9)
    assert [storage.home(key)] == where(stores, key)


def test_a_copy_that_is_not_the_original_costs_nothing(stores):
    filled(stores)
    for store in stores.values():
        store.garbles = True

    with pytest.raises(IntegrityError):
        list(balanced(stores, draining=["two"]).drain("two"))

    for store in stores.values():
        store.garbles = False
    assert keys(stores["two"])
    assert all(stores["two"].read(key, 99) == key.encode() for key in keys(stores["two"]))


@pytest.mark.parametrize("moment", ["before it is read", "after it was copied"])
def test_an_object_that_is_overwritten_while_it_moves_is_not_lost(stores, moment):
    # By a process that does not know yet that this store drains.
    storage = balanced(stores)
    key = next(key for key in KEYS if storage.home(key) == "two")
    storage.put(key, b"older")
    storage = balanced(stores, draining=["two"])
    at = "two" if moment == "before it is read" else storage.home(key)

    def overwrite(store, call):
        if (store, call) == (at, "open"):
            stores[at].before = lambda *_call: None
            stores["two"].put(key, b"newer")

    stores[at].before = overwrite
    with pytest.raises(ObjectChanged):
        list(storage.drain("two"))

    assert b"newer" == stores["two"].read(key, 9)
    assert [key] == list(storage.drain("two"))
    assert b"newer" == storage.read(key, 9)


def test_an_object_that_is_overwritten_at_home_while_it_moves_stays(stores):
    key = next(key for key in KEYS if balanced(stores).home(key) == "two")
    stores["two"].put(key, b"older")
    storage = balanced(stores, draining=["two"])
    home = stores[storage.home(key)]

    def overwrite(_store, call):
        if call == "open":
            home.before = lambda *_call: None
            storage.put(key, b"newer")

    home.before = overwrite
    with pytest.raises(ObjectChanged):
        list(storage.drain("two"))

    assert b"newer" == storage.read(key, 9)
    assert [] == list(storage.drain("two"))


def test_what_is_deleted_while_a_store_drains_is_gone(stores):
    filled(stores, 8)
    storage = balanced(stores, draining=["two"])
    drain = storage.drain("two")
    next(drain)

    storage.delete(*KEYS[:8])

    assert [] == list(drain)
    with pytest.raises(ObjectNotFound):
        storage.stat(KEYS[0])
    assert [[], [], []] == [keys(store) for store in stores.values()]


@pytest.mark.parametrize(
    ("weights", "draining"),
    [
        ({"one": 0, "two": 0, "three": 0}, ()),
        ({}, ("one", "two", "three")),
        ({"one": -1}, ()),
        ({"one": float("nan")}, ()),
        ({"one": float("inf")}, ()),
        ({}, ("four",)),
    ],
)
def test_weights_that_make_no_sense_are_refused(stores, weights, draining):
    with pytest.raises(InvalidSettings, match="balanced"):
        balanced(stores, draining=draining, **weights)
