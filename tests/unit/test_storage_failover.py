"""Two stores as one: writes survive the loss of the primary, and reads follow them."""

from __future__ import annotations

import contextlib
import io
import random

import pytest
from services.told_breaker import ToldBreakers
from services.told_store import Clock, ToldStore, broken, down

from uploadmill.backends.storage.contract import run_contract
from uploadmill.backends.storage.failover import FailoverStorage
from uploadmill.backends.storage.features import Access, Feature
from uploadmill.backends.storage.memory import MemoryStorage
from uploadmill.backends.storage.sources import CHUNK
from uploadmill.errors import (
    IntegrityError,
    InvalidKey,
    ObjectExists,
    ObjectNotFound,
    StorageUnavailable,
    Unsupported,
    UnsupportedMedia,
)

LARGE, MANY = 3 * CHUNK + 7, 120


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def primary(clock):
    return ToldStore("primary", clock, public_url="https://primary.test")


@pytest.fixture
def secondary(clock):
    return ToldStore("secondary", clock, public_url="https://secondary.test")


@pytest.fixture
def there():
    """The keys that the hook was told of."""
    return []


@pytest.fixture
def both(primary, secondary, clock, there):
    return FailoverStorage(primary, secondary, on_secondary=there.append, timing=clock.timing)


def keys(store):
    return [stat.key for stat in MemoryStorage.list(store)]


def failures(storage):
    results = run_contract(storage, large=LARGE, many=MANY)
    return {result.name: result.detail for result in results if not result.ok}


def test_two_good_stores_keep_the_contract(both, primary, secondary):
    assert {} == failures(both)
    assert ([], []) == (keys(primary), keys(secondary))


@pytest.mark.parametrize("error", [broken, down])
def test_a_primary_that_takes_no_writes_keeps_the_contract(both, primary, error):
    # Its disk is full, say: it still reads, lists and deletes.
    primary.fails(error(), "put", "copy")

    assert {} == failures(both)


def test_a_secondary_that_takes_no_writes_keeps_the_contract(both, secondary):
    secondary.fails(broken(), "put", "copy")

    assert {} == failures(both)


@pytest.mark.parametrize("out", ["primary", "secondary"])
def test_while_one_store_is_out_some_things_are_unavailable_and_nothing_is_wrong(
    both, primary, secondary, out
):
    {"primary": primary, "secondary": secondary}[out].fails(broken())

    failed = failures(both)

    assert [] == [each for each in failed.items() if "StorageUnavailable" not in each[1]]
    assert {"put_returns_what_stat_says", "put_takes_an_opener"}.isdisjoint(failed)
    # Nothing can be deleted for good, nor listed whole.
    assert {"list_gives_a_prefix_in_order", "delete_removes_what_it_names"} <= {*failed}


class Flapping(ToldStore):
    """Each call fails with a chance of one in three, half of them after it was done."""

    def __init__(self, name, clock, chance):
        super().__init__(name, clock)
        self.chance = chance

    def _told(self, call):
        if self.chance is None or self.chance.random() > 1 / 3:
            return super()._told(call)
        error = self.chance.choice([broken(), down(), down()])
        lands = error.retry_here and self.chance.random() < 1 / 2
        return {"error": error, "lands": lands, "reads_first": self.chance.random() < 1 / 2}


@pytest.mark.parametrize("seed", range(5))
def test_two_stores_that_flap_lose_nothing_that_was_put(clock, seed):
    # Keys are written once, and the same key is the same bytes: like a job's outputs.
    chance = random.Random(seed)  # noqa: S311 (the same in each run)
    stores = [Flapping(name, clock, chance) for name in ("primary", "secondary")]
    both = FailoverStorage(*stores, timing=clock.timing)
    kept, read = set(), 0
    for _ in range(300):
        key = f"{chance.randrange(60)}"
        with contextlib.suppress(StorageUnavailable):
            with contextlib.suppress(ObjectExists):
                both.put(key, key.encode(), create_only=True)
            kept.add(key)
        for known in chance.sample(sorted(kept), min(8, len(kept))):
            with contextlib.suppress(StorageUnavailable):
                assert known.encode() == both.read(known, 9)
                read += 1
    for store in stores:
        store.chance = None

    list(both.bring_home())

    assert len(kept) > 50
    assert read > 1000
    assert all(key.encode() == both.read(key, 9, verify=True) for key in kept)
    assert [] == keys(stores[1])


def test_nobody_can_know_what_a_primary_has_that_is_out(both, primary, secondary):
    # What docs/storage-several.md says cannot hold.
    both.put("a", b"first", create_only=True)
    primary.fails(down())

    both.put("a", b"second", create_only=True)

    assert b"second" == both.read("a", 9)
    primary.recovers()
    assert b"first" == both.read("a", 9)
    with pytest.raises(ObjectExists):
        both.put("a", b"third", create_only=True)


def test_stores_that_are_found_empty_again_and_again_keep_the_contract(primary, secondary, clock):
    # A contract run on top of what others have there.
    secondary.put("others", b"others")
    both = FailoverStorage(primary, secondary, timing=clock.timing)

    assert {} == failures(both)
    assert ["others"] == keys(secondary)


def test_what_one_store_has_not_the_two_have_not(clock):
    one = MemoryStorage("one", versions=True)
    two = MemoryStorage("two")
    two.lacks = {**two.lacks, Feature.ACCESS_LEVELS: "none here"}
    both = FailoverStorage(one, two, timing=clock.timing)

    assert {*Feature} == {*both.lacks}
    with pytest.raises(Unsupported, match="'two' has not: none here"):
        both.put("a", b"1", access=Access.PRIVATE)
    assert [] == keys(one)


# -- writes ------------------------------------------------------------------------------------


def test_a_passing_failure_is_outlasted_without_the_secondary(both, primary, secondary, clock):
    primary.fails(down(), "put", times=2)

    both.put("a", b"1")

    assert (["a"], []) == (keys(primary), keys(secondary))
    assert [0.1, 0.4] == clock.slept


def test_a_primary_that_stays_away_is_left_for_the_secondary(both, primary, secondary, there):
    primary.fails(down(), "put")

    both.put("a", b"1")

    assert ([], ["a"]) == (keys(primary), keys(secondary))
    assert 3 == primary.calls["put"]
    assert ["a"] == there


def test_a_broken_primary_is_left_at_once_and_raises_an_alarm(both, primary, clock, caplog):
    primary.fails(broken(), "put")

    both.put("a", b"1")

    assert (1, []) == (primary.calls["put"], clock.slept)
    alarms = [each for each in caplog.records if each.levelname == "ERROR"]
    assert [("store_broken", "primary", "access denied")] == [
        (each.message, each.store, each.reason) for each in alarms
    ]


def test_a_slow_primary_does_not_take_for_ever(both, primary, clock):
    # A black hole: each call takes as long as its own timeout lets it.
    primary.fails(down(), "put", seconds=4.0)

    both.put("a", b"1")

    assert 2 == primary.calls["put"]
    assert clock.now < 10


def test_both_out_is_unavailable(both, primary, secondary):
    primary.fails(down(), "put")
    secondary.fails(broken(), "put")

    with pytest.raises(StorageUnavailable, match="secondary"):
        both.put("a", b"1")


def test_a_request_at_fault_never_fails_over(both, secondary):
    for error, put in (
        (InvalidKey, lambda: both.put("../a", b"1")),
        (IntegrityError, lambda: both.put("a", b"1", sha256="0" * 64)),
        (Unsupported, lambda: both.put("a", b"1", content_type="")),
    ):
        with pytest.raises(error):
            put()

    assert 0 == secondary.calls["put"]


def test_what_the_primary_does_not_take_does_not_go_to_the_secondary(secondary, clock):
    choosy = MemoryStorage("primary", allowed_extensions=["jpg"])
    both = FailoverStorage(choosy, secondary, timing=clock.timing)

    with pytest.raises(UnsupportedMedia):
        both.put("a.exe", b"1")

    assert 0 == secondary.calls["put"]


def test_a_file_is_read_from_the_same_position_at_each_attempt(both, primary, secondary):
    file = io.BytesIO(b"skip" + b"x" * 9)
    file.seek(4)
    primary.fails(down(), "put", reads_first=True)

    both.put("a", file)

    assert 9 == secondary.stat("a").size
    assert not file.closed


def test_an_open_breaker_spares_the_primary(primary, secondary, clock):
    breakers = ToldBreakers(opened=["primary"])
    both = FailoverStorage(primary, secondary, breakers=breakers, timing=clock.timing)

    both.put("a", b"1")

    assert b"1" == both.read("a", 10)
    assert 0 == primary.calls["put"] + primary.calls["open"]


def test_an_overwritten_object_leaves_no_older_one_on_the_secondary(both, primary, secondary):
    primary.fails(down(), "put", times=3)
    both.put("a", b"older")
    both.put("a", b"newer")

    assert (["a"], []) == (keys(primary), keys(secondary))
    both.delete("a")
    assert not both.exists("a")


def test_an_older_object_that_may_remain_is_told_of(both, secondary, caplog):
    secondary.fails(down(), "delete")

    both.put("a", b"1")

    assert "older_object_may_remain" in [each.message for each in caplog.records]


# -- create-only -------------------------------------------------------------------------------


def test_what_was_created_on_the_secondary_is_not_created_again(both, primary):
    primary.fails(down(), "put", times=3)
    both.put("a", b"first", create_only=True)

    with pytest.raises(ObjectExists):
        both.put("a", b"second", create_only=True)

    assert [] == keys(primary)
    assert b"first" == both.read("a", 10)


def test_a_copy_is_not_created_twice_either(both, primary):
    primary.put("source", b"source")
    primary.fails(down(), "copy", times=3)
    both.copy("source", "a", create_only=True)

    with pytest.raises(ObjectExists):
        both.copy("source", "a", create_only=True)

    assert ["source"] == keys(primary)


def test_a_secondary_that_is_out_does_not_hold_up_what_is_created(both, primary, secondary, caplog):
    secondary.fails(down())

    both.put("a", b"1", create_only=True)

    assert ["a"] == keys(primary)
    assert "created_without_a_look" in [each.message for each in caplog.records]


def test_a_lost_reply_does_not_blame_somebody_else(both, primary):
    primary.fails(down(), "put", times=1, lands=True)

    with pytest.raises(StorageUnavailable, match="may be our own"):
        both.put("a", b"1", create_only=True)

    assert b"1" == both.read("a", 10)


def test_a_refusal_leaves_no_doubt(both, primary, secondary):
    secondary.fails(ObjectNotFound("secondary", "a"), "stat", times=1)
    secondary.put("a", b"theirs")
    primary.fails(broken(), "put")

    with pytest.raises(ObjectExists):
        both.put("a", b"1", create_only=True)


# -- reads -------------------------------------------------------------------------------------


def test_reads_find_what_failed_over(both, secondary, there, caplog):
    secondary.put("a", b"12345", content_type="a/b")

    with caplog.at_level("INFO"):
        assert (5, "a/b") == (both.stat("a").size, both.stat("a").content_type)
    assert b"12345" == both.read("a", 5, verify=True)
    with both.open("a", start=1, length=2) as reader:
        assert b"23" == reader.read(10)
    assert ["a"] == sorted({*there})
    assert {"found_on_secondary"} == {each.message for each in caplog.records}


def test_reads_of_the_primary_do_not_touch_the_secondary(both, primary, secondary):
    primary.put("a", b"1")

    both.read("a", 1)

    assert 0 == secondary.calls["open"] + secondary.calls["stat"]


@pytest.mark.parametrize("error", [broken, down])
def test_reads_survive_the_primary(both, primary, secondary, error, clock):
    secondary.put("a", b"1")
    primary.fails(error())

    assert b"1" == both.read("a", 1)
    assert both.exists("a")
    assert [] == clock.slept


def test_what_only_the_primary_may_know_is_asked_again(both, primary, clock):
    primary.put("a", b"1")
    primary.fails(down(), "open", times=2)

    assert b"1" == both.read("a", 1)
    assert 2 == len(clock.slept)


def test_nobody_says_not_found_while_one_store_is_out(both, primary, secondary):
    secondary.fails(broken(), "stat")
    with pytest.raises(StorageUnavailable):
        both.stat("a")

    secondary.recovers()
    primary.fails(down(), "stat")
    with pytest.raises(StorageUnavailable):
        both.exists("a")


def test_not_found_is_said_once_both_have_answered(both, primary):
    primary.fails(down(), "stat", times=1)

    with pytest.raises(ObjectNotFound):
        both.stat("a")


def test_reads_of_a_black_hole_are_bounded(both, primary, clock):
    primary.fails(down(), seconds=4.0)

    with pytest.raises(StorageUnavailable):
        both.stat("a")

    assert clock.now < 10


def test_an_address_is_that_of_the_store_that_has_the_object(both, primary, secondary):
    secondary.put("a", b"1")
    primary.put("b", b"1")

    assert "https://secondary.test/a" == both.url("a")
    assert "https://primary.test/b" == both.url("b")
    assert "https://primary.test/none" == both.url("none")
    primary.fails(down())
    assert "https://secondary.test/a" == both.url("a")


def test_access_is_that_of_the_object_wherever_it_is(both, primary, secondary):
    secondary.put("a", b"1")
    both.set_access("a", Access.PUBLIC_READ)

    assert Access.PUBLIC_READ == both.access("a")
    with pytest.raises(ObjectNotFound):
        both.set_access("none", Access.PRIVATE)


# -- both stores -------------------------------------------------------------------------------


def test_a_list_is_of_both_stores_in_order_and_names_each_key_once(both, primary, secondary):
    for number in range(20):
        for store in (primary,) * (number % 3 != 1) + (secondary,) * (number % 3 != 2):
            store.put(f"{number:02}", store.name.encode())

    assert [f"{number:02}" for number in range(20)] == [stat.key for stat in both.list()]
    assert {7, 9} == {stat.size for stat in both.list()}
    assert 7 == next(both.list()).size


def test_a_list_goes_on_although_the_last_key_was_deleted(both, primary, secondary):
    for number in range(9):
        (primary, secondary)[number % 2].put(f"{number}", b"")
    first = both.list(limit=4)
    given = [stat.key for stat in first]

    both.delete(*given)

    rest = [stat.key for stat in both.list(limit=9, token=first.token)]
    assert [f"{number}" for number in range(9)] == given + rest


@pytest.mark.parametrize("deleted", ["0", "2", "3", "7"])
def test_a_list_goes_on_where_keys_came_and_went(both, primary, secondary, deleted):
    for number in range(9):
        (primary, secondary)[number % 2].put(f"{number}", b"")
    given = both.list(limit=4)
    assert ["0", "1", "2", "3"] == [stat.key for stat in given]

    both.delete(deleted)
    primary.put("00", b"")
    secondary.put("5a", b"")

    rest = [stat.key for stat in both.list(token=given.token)]
    expected = ["4", "5", "5a", "6", "7", "8"]
    assert [key for key in expected if key != deleted] == rest


def test_a_long_list_is_read_once_and_not_page_by_page(both, primary):
    for number in range(2500):
        primary.put(f"{number:05}", b"")

    assert 2500 == len(list(both.list()))

    assert 1 == primary.calls["list"]


def test_no_part_of_a_list_is_passed_off_as_the_whole(both, secondary):
    secondary.fails(down(), "list")

    with pytest.raises(StorageUnavailable):
        list(both.list())


def test_a_delete_removes_from_both(both, primary, secondary):
    for store in (primary, secondary):
        store.put("a", b"1")

    both.delete("a")

    assert ([], []) == (keys(primary), keys(secondary))


def test_a_delete_that_one_store_did_not_hear_of_says_so(both, primary, secondary):
    for store in (primary, secondary):
        store.put("a", b"1")
    primary.fails(down(), "delete")

    with pytest.raises(StorageUnavailable, match="primary"):
        both.delete("a")

    assert (["a"], []) == (keys(primary), keys(secondary))
    primary.recovers()
    both.delete("a")
    assert [] == keys(primary)


@pytest.mark.parametrize("out", ["primary", "secondary"])
def test_one_store_that_answers_is_enough_to_be_there(both, primary, secondary, out):
    {"primary": primary, "secondary": secondary}[out].fails(down(), "ping")
    both.ping()

    primary.fails(down(), "ping")
    secondary.fails(down(), "ping")
    with pytest.raises(StorageUnavailable):
        both.ping()


def test_a_copy_goes_from_store_to_store_where_it_must(both, primary, secondary):
    secondary.put("a", b"x" * LARGE, content_type="a/b", metadata={"m": "1"}, cache_control="c")

    both.copy("a", "b")

    stat = primary.stat("b")
    assert (LARGE, "a/b", {"m": "1"}, "c") == (
        stat.size,
        stat.content_type,
        stat.metadata,
        stat.cache_control,
    )
    assert ["a"] == keys(secondary)


def test_stores_of_one_name_are_refused():
    with pytest.raises(ValueError, match="name of its own"):
        FailoverStorage(MemoryStorage(), MemoryStorage())


# -- home --------------------------------------------------------------------------------------


def test_everything_comes_home(both, primary, secondary):
    primary.fails(down(), "put")
    for number in range(5):
        both.put(f"{number}", f"{number}".encode(), metadata={"n": f"{number}"})
    both.set_access("3", Access.PUBLIC_READ)
    primary.recovers()

    assert [f"{number}" for number in range(5)] == list(both.bring_home())

    assert [] == keys(secondary)
    assert {"n": "4"} == primary.stat("4").metadata
    assert [Access.PRIVATE, Access.PUBLIC_READ] == [primary.access("2"), primary.access("3")]
    assert [] == list(both.bring_home())


class WithoutLists(MemoryStorage):
    """As a bucket of S3 with access lists disabled: it says so when it is asked."""

    def put(self, key, source, *, access=None, **options):
        if access is not None:
            raise Unsupported(self.name, key, "its bucket has access lists disabled")
        return super().put(key, source, **options)


def test_an_object_comes_home_to_a_bucket_without_access_lists(secondary, clock):
    secondary.put("a", b"bytes")
    primary = WithoutLists("primary")

    both = FailoverStorage(primary, secondary, timing=clock.timing)

    assert ["a"] == list(both.bring_home())
    assert b"bytes" == primary.read("a", 9)
    assert [] == keys(secondary)


def test_what_is_public_does_not_come_home_to_where_it_could_not_be(secondary, clock, caplog):
    secondary.put("b", b"bytes", access=Access.PUBLIC_READ)
    for key in ("a", "c"):
        secondary.put(key, b"bytes")
    both = FailoverStorage(WithoutLists("primary"), secondary, timing=clock.timing)
    home = []

    with pytest.raises(Unsupported, match="access lists disabled"):
        home.extend(both.bring_home())

    assert ["a", "c"] == home, "which it does not hold up"
    assert ["b"] == keys(secondary)
    assert [("not_moved", "b")] == [(each.message, each.key) for each in caplog.records]


def test_an_account_that_may_not_look_at_access_brings_home_all_the_same(primary, clock):
    class Discreet(MemoryStorage):
        def access(self, _key):
            raise StorageUnavailable(self.name, "the server answered 403", retry_here=False)

    secondary = Discreet("secondary")
    secondary.put("a", b"bytes")

    assert ["a"] == list(FailoverStorage(primary, secondary, timing=clock.timing).bring_home())
    assert b"bytes" == primary.read("a", 9)


def test_of_two_objects_the_newer_one_stays(both, primary, secondary):
    primary.put("a", b"older")
    secondary.put("a", b"newer")
    secondary.put("b", b"older")
    primary.put("b", b"newer")

    list(both.bring_home())

    assert (b"newer", b"newer") == (primary.read("a", 9), primary.read("b", 9))
    assert [] == keys(secondary)


def test_a_copy_that_is_not_the_original_costs_nothing(both, primary, secondary):
    secondary.put("a", b"right")
    primary.garbles = True

    with pytest.raises(IntegrityError):
        list(both.bring_home())

    assert b"right" == secondary.read("a", 9)


# -- closing -----------------------------------------------------------------------------------


def test_both_are_closed_although_one_of_them_cannot_be():
    closed = []

    class Closing(MemoryStorage):
        def close(self):
            closed.append(self.name)
            raise OSError(f"{self.name} cannot be closed")

    with pytest.raises(OSError, match="cannot be closed"):
        FailoverStorage(Closing("primary"), Closing("secondary")).close()

    assert {"primary", "secondary"} == {*closed}
