"""One state of an object is deleted from several stores: what others write meanwhile stays."""

import pytest

from uploadmill.backends.storage.failover import FailoverStorage
from uploadmill.backends.storage.memory import MemoryStorage
from uploadmill.errors import ObjectChanged, ObjectNotFound, StorageUnavailable


class Rival(MemoryStorage):
    """A store in which somebody else is quicker, or that is out."""

    meanwhile = staticmethod(lambda: None)
    out = False

    def stat(self, key):
        if self.out:
            raise StorageUnavailable(self.name, "says the test", retry_here=False)
        return super().stat(key)

    def delete(self, *keys, **options):
        self.meanwhile()
        super().delete(*keys, **options)


@pytest.fixture
def primary():
    return Rival("primary")


@pytest.fixture
def secondary():
    return Rival("secondary")


@pytest.fixture
def both(primary, secondary):
    return FailoverStorage(primary, secondary)


def test_what_it_covers_in_the_other_store_goes_with_it(both, primary, secondary):
    secondary.put("a", b"old")
    primary.put("a", b"new")

    both.delete("a", if_match=both.stat("a").etag)

    assert not both.exists("a")


def test_another_state_stays_in_both(both, primary, secondary):
    old = primary.put("a", b"old")
    secondary.put("a", b"older")
    primary.put("a", b"new")

    with pytest.raises(ObjectChanged):
        both.delete("a", if_match=old.etag)

    assert b"new" == primary.read("a", 10)
    assert b"older" == secondary.read("a", 10)


@pytest.mark.parametrize("writer", ["primary", "secondary"])
def test_what_is_written_between_look_and_delete_stays(both, primary, secondary, writer):
    secondary.put("a", b"old")
    primary.put("a", b"new")
    rival = primary if writer == "primary" else secondary
    rival.meanwhile = lambda: rival.put("a", b"newest")

    with pytest.raises(ObjectChanged):
        both.delete("a", if_match=both.stat("a").etag)

    assert b"newest" == rival.read("a", 10)


def test_what_comes_to_a_store_that_had_nothing_stays(both, primary, secondary):
    secondary.put("a", b"failed over")
    secondary.meanwhile = lambda: primary.put("a", b"new")

    both.delete("a", if_match=both.stat("a").etag)

    assert b"new" == both.read("a", 10)


def test_while_a_store_is_out_nothing_is_deleted(both, primary, secondary):
    put = primary.put("a", b"x")
    secondary.out = True

    with pytest.raises(StorageUnavailable):
        both.delete("a", if_match=put.etag)

    assert b"x" == primary.read("a", 10)


def test_a_move_takes_the_covered_object_along(both, primary, secondary):
    secondary.put("a", b"old")
    primary.put("a", b"new")

    both.move("a", "b")

    assert b"new" == both.read("b", 10)
    with pytest.raises(ObjectNotFound):
        secondary.stat("a")
