"""What a store's configuration forbids leaves nothing behind, on every way in."""

import pytest

from uploadmill.backends.storage.contract_ground import MadeUp
from uploadmill.backends.storage.local import LocalStorage
from uploadmill.backends.storage.memory import MemoryStorage
from uploadmill.errors import SizeLimitExceeded, UnsupportedMedia

LIMITS = {"allowed_extensions": ["jpg", ".TAR.GZ"], "max_file_size": 100}


@pytest.fixture(params=["memory", "local"])
def storage(request, tmp_path):
    if request.param == "memory":
        return MemoryStorage(**LIMITS)
    return LocalStorage(tmp_path / "root", **LIMITS)


@pytest.mark.parametrize("key", ["a.jpg", "a/b.JPG", "a.tar.gz"])
def test_allowed_extensions_pass_in_any_case(storage, key):
    assert key == storage.put(key, b"x").key


@pytest.mark.parametrize("key", ["a.exe", "a", "jpg", "a.jpg.exe", "a.gz", "a.jpg/b"])
def test_other_extensions_are_refused_before_the_source_is_opened(storage, key):
    source = MadeUp(10)

    with pytest.raises(UnsupportedMedia, match=r"it takes: \.jpg, \.tar\.gz"):
        storage.put(key, source)

    assert 0 == source.opened
    assert [] == list(storage.list())


def test_a_copy_or_move_to_another_extension_is_refused(storage):
    storage.put("a.jpg", b"x")

    for method in (storage.copy, storage.move):
        with pytest.raises(UnsupportedMedia):
            method("a.jpg", "a.exe")

    assert ["a.jpg"] == [stat.key for stat in storage.list()]


def test_a_larger_source_leaves_nothing(storage):
    with pytest.raises(SizeLimitExceeded, match="the limit is 100"):
        storage.put("a.jpg", MadeUp(101))

    assert [] == list(storage.list())
    assert 100 == storage.put("a.jpg", MadeUp(100)).size


def test_the_smaller_limit_counts(storage):
    with pytest.raises(SizeLimitExceeded, match="the limit is 50"):
        storage.put("a.jpg", MadeUp(51), max_size=50)
    with pytest.raises(SizeLimitExceeded, match="the limit is 100"):
        storage.put("a.jpg", MadeUp(101), max_size=1000)


def test_a_store_that_allows_no_extension_takes_nothing():
    with pytest.raises(UnsupportedMedia, match="it takes: none"):
        MemoryStorage(allowed_extensions=[]).put("a.jpg", b"x")
