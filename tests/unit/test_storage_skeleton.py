"""What every back end gets from the skeleton."""

# ruff: noqa: ARG002 (a broken method takes what it ignores)

from dataclasses import replace

import pytest
from services.served_memory import ServedMemory, served

from uploadmill.backends.storage.memory import MemoryStorage
from uploadmill.errors import IntegrityError, ObjectChanged, ObjectNotFound, Unsupported


def spoil(storage, key):
    """Change a byte behind the store's back."""
    found = storage._objects[key]
    storage._objects[key] = replace(found, content=b"X" + found.content[1:])


def forget_sha256(storage, key):
    """As if others had put the object."""
    found = storage._objects[key]
    storage._objects[key] = replace(found, stat=replace(found.stat, sha256=None))


def test_a_verified_read_of_spoilt_bytes_raises_at_their_end(tmp_path):
    storage = MemoryStorage()
    storage.put("a", b"content")
    spoil(storage, "a")

    with storage.open("a", verify=True) as reader:
        assert b"Xon" == reader.read(3)
        with pytest.raises(IntegrityError):
            reader.read(100)
    with pytest.raises(IntegrityError):
        storage.read("a", 100, verify=True)
    with pytest.raises(IntegrityError):
        storage.download("a", tmp_path / "file", verify=True)
    assert [] == list(tmp_path.iterdir())
    assert b"Xontent" == storage.read("a", 100)


def test_an_object_without_sha256_cannot_be_verified():
    storage = MemoryStorage()
    storage.put("a", b"content")
    forget_sha256(storage, "a")

    with pytest.raises(Unsupported, match="put by others"):
        storage.read("a", 100, verify=True)


def test_a_part_cannot_be_verified():
    storage = MemoryStorage()
    storage.put("a", b"content")

    for part in ({"start": 1}, {"length": 2}):
        with (
            pytest.raises(Unsupported, match="only a whole object"),
            storage.open("a", verify=True, **part),
        ):
            pass


def test_a_source_overwritten_while_it_is_moved_stays():
    class Overwritten(MemoryStorage):
        def copy(self, source, target, **options):
            stat = super().copy(source, target, **options)
            self.put(source, b"newer")
            return stat

    storage = Overwritten()
    storage.put("a", b"older")

    with pytest.raises(ObjectChanged):
        storage.move("a", "b")

    assert (b"newer", b"older") == (storage.read("a", 9), storage.read("b", 9))


def test_a_copy_that_is_not_the_original_does_not_end_a_move():
    class Careless(MemoryStorage):
        def copy(self, source, target, **options):
            return self.put(target, b"something else")

    storage = Careless()
    storage.put("a", b"content")

    with pytest.raises(IntegrityError):
        storage.move("a", "b")

    assert b"content" == storage.read("a", 9)


def test_a_public_address_has_no_file_name():
    with pytest.raises(ValueError, match="only a signed address"):
        MemoryStorage(public_url="https://cdn.test").url("a", filename="b")


def test_a_cdn_wins_over_the_stores_own_address():
    storage = MemoryStorage(public_url="https://bucket.test", cdn_url="https://cdn.test")

    assert "https://cdn.test/a" == storage.url("a")


@pytest.mark.parametrize("expires", [0, -1, float("nan"), float("inf")])
def test_nothing_is_signed_for_no_time(expires):
    with served(ServedMemory()) as storage:
        with pytest.raises(ValueError, match="how many seconds"):
            storage.url("a", expires=expires)
        with pytest.raises(ValueError, match="how many seconds"):
            storage.presign_upload("a", content_type="a/b", max_size=9, expires=expires)


@pytest.mark.parametrize(("least", "most"), [(6, 5), (-1, 5), (0, -1), (11, 20)])
def test_a_form_that_no_upload_could_satisfy_is_refused(least, most):
    storage = ServedMemory(max_file_size=10)

    with pytest.raises(ValueError, match="compare min_size and max_size"):
        storage.presign_upload("a", content_type="a/b", min_size=least, max_size=most)


def test_a_download_does_not_mind_how_long_the_files_name_is(tmp_path):
    storage = MemoryStorage()
    storage.put("a", b"content")
    target = tmp_path / ("ü" * 127)

    storage.download("a", target)

    assert [target] == list(tmp_path.iterdir())
    assert b"content" == target.read_bytes()


def test_other_delimiters_are_refused():
    with pytest.raises(Unsupported, match="'/'"):
        MemoryStorage().list(delimiter="-")


@pytest.mark.parametrize("token", ["no base64!", "AAAA", "ü", "YS8v"])
def test_what_is_no_token_is_refused(token):
    with pytest.raises(ValueError, match="no token"):
        list(MemoryStorage().list(token=token))


def test_a_version_that_never_was_is_not_found():
    storage = MemoryStorage(versions=True)
    storage.put("a", b"content")

    with pytest.raises(ObjectNotFound, match="no such version"):
        storage.restore("a", "none")


def test_a_store_says_what_it_lacks():
    assert {"versions", "signed urls", "presigned uploads"} == set(MemoryStorage().lacks)
    with pytest.raises(Unsupported, match="versions=True"):
        MemoryStorage().versions("a")
