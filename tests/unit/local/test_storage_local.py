"""What only a local store can get wrong: links, crashes, full disks, files dropped in by hand."""

import errno
import os
import tracemalloc
from pathlib import Path

import pytest
from services.local_files import content, internal_files

from uploadmill.backends.storage.contract_ground import MadeUp, digest
from uploadmill.backends.storage.local import LocalStorage
from uploadmill.errors import (
    InvalidKey,
    ObjectExists,
    ObjectNotFound,
    StorageUnavailable,
)


@pytest.fixture
def outside(tmp_path):
    folder = tmp_path / "outside"
    folder.mkdir()
    (folder / "secret").write_text("secret")
    return folder


def test_a_linked_folder_leads_nowhere(storage, root, outside):
    storage.put("a/b", b"x")
    (root / "link").symlink_to(outside)

    for action in (
        lambda: storage.stat("link/secret"),
        lambda: content(storage, "link/secret"),
        lambda: storage.copy("link/secret", "copied"),
    ):
        with pytest.raises(ObjectNotFound):
            action()
    for create_only in (False, True):
        with pytest.raises(InvalidKey, match="an object or a link"):
            storage.put("link/new", b"x", create_only=create_only)
    storage.delete("link/secret")

    assert ["a/b"] == [stat.key for stat in storage.list()]
    assert ["secret"] == [path.name for path in outside.iterdir()]


def test_a_linked_file_is_no_object_and_writing_replaces_only_the_link(storage, root, outside):
    storage.ping()
    (root / "link").symlink_to(outside / "secret")

    with pytest.raises(ObjectNotFound):
        content(storage, "link")
    with pytest.raises(ObjectExists):
        storage.put("link", b"new", create_only=True)
    assert [] == list(storage.list())
    storage.put("link", b"new")

    assert b"new" == content(storage, "link")
    assert "secret" == (outside / "secret").read_text()


def test_a_link_in_place_of_the_own_area_is_not_followed(storage, root, outside):
    root.mkdir()
    (root / ".uploadmill").symlink_to(outside)

    with pytest.raises(StorageUnavailable):
        storage.put("a", b"x")

    assert ["secret"] == [path.name for path in outside.iterdir()]


def test_a_pipe_is_no_object_and_does_not_hang(storage, root):
    storage.ping()
    os.mkfifo(root / "pipe")

    with pytest.raises(ObjectNotFound):
        content(storage, "pipe")
    assert [] == list(storage.list())


def test_a_file_dropped_in_by_hand_is_an_object(storage, root):
    storage.ping()
    (root / "by").mkdir()
    (root / "by" / "hand.png").write_bytes(b"12345")

    stat = storage.stat("by/hand.png")

    assert (5, "image/png", {}, None) == (
        stat.size,
        stat.content_type,
        dict(stat.metadata),
        stat.sha256,
    )
    assert b"12345" == content(storage, "by/hand.png")
    assert ["by/hand.png"] == [stat.key for stat in storage.list()]


def test_a_file_replaced_by_hand_does_not_keep_the_old_facts(storage, root):
    storage.put("a.png", b"12345", content_type="text/plain", metadata={"a": "b"})
    before = storage.stat("a.png")
    (root / "a.png").write_bytes(b"54321")

    stat = storage.stat("a.png")

    assert before.etag != stat.etag
    assert ("image/png", {}, None) == (stat.content_type, dict(stat.metadata), stat.sha256)


def test_names_that_are_no_text_are_left_out(storage, root):
    storage.put("a", b"x")
    Path(os.fsdecode(os.fsencode(root) + b"/\xff\xfe")).write_text("x")

    assert ["a"] == [stat.key for stat in storage.list()]


def test_list_is_in_the_order_of_whole_keys(storage):
    for key in ("a/b", "a-b", "a.b", "a0", "a_", "A"):
        storage.put(key, b"")

    assert ["A", "a-b", "a.b", "a/b", "a0", "a_"] == [stat.key for stat in storage.list()]


def test_overwriting_and_deleting_leave_no_sidecars(storage, root):
    for each in range(5):
        storage.put("a/b/c", b"x" * each)
    assert 1 == len(internal_files(root))

    storage.delete("a/b/c")

    assert [] == internal_files(root)
    assert [".uploadmill"] == [path.name for path in root.iterdir()]


def test_a_refused_write_leaves_nothing(storage, root):
    storage.put("a", b"x", create_only=True)
    before = internal_files(root)
    storage._refuse_taken = lambda *_args, **_options: None

    with pytest.raises(ObjectExists):
        storage.put("a", b"y", create_only=True)

    assert before == internal_files(root)


@pytest.mark.parametrize(
    ("code", "retry_here"),
    [
        (errno.ENOSPC, False),
        (errno.EDQUOT, False),
        (errno.EROFS, False),
        (errno.EACCES, False),
        (errno.EIO, True),
        (errno.EMFILE, True),
    ],
)
def test_a_disk_that_refuses_is_unavailable(storage, root, monkeypatch, code, retry_here):
    storage.ping()

    def refuse(*_args):
        raise OSError(code, os.strerror(code), str(root / "secret-path"))

    with monkeypatch.context() as patch:
        patch.setattr(os, "write", refuse)
        with pytest.raises(StorageUnavailable) as caught:
            storage.put("a", b"x")

    assert retry_here is caught.value.retry_here
    assert "secret-path" not in str(caught.value)
    assert [] == internal_files(root)


def test_a_real_full_disk_is_unavailable(storage, root, monkeypatch):
    storage.ping()
    with Path("/dev/full").open("wb", buffering=0) as full, monkeypatch.context() as patch:
        write = os.write
        patch.setattr(os, "write", lambda _file, data: write(full.fileno(), data))
        with pytest.raises(StorageUnavailable, match="No space left on device") as caught:
            storage.put("a", b"x")

    assert not caught.value.retry_here


def test_a_root_that_went_away_is_an_outage_and_no_empty_store(storage, root):
    storage.put("a", b"x")
    root.rename(root.with_name("elsewhere"))

    for action in (
        lambda: storage.stat("a"),
        lambda: content(storage, "a"),
        lambda: storage.put("a", b"x"),
        lambda: storage.delete("a"),
        lambda: list(storage.list()),
        storage.ping,
    ):
        with pytest.raises(StorageUnavailable) as caught:
            action()
        assert not caught.value.retry_here

    root.with_name("elsewhere").rename(root)
    assert b"x" == content(storage, "a")


def test_a_root_that_is_a_file_is_unavailable(root):
    root.write_text("not a folder")

    with pytest.raises(StorageUnavailable):
        LocalStorage(root).ping()


def test_errors_of_the_source_are_not_the_stores(storage, tmp_path):
    with pytest.raises(FileNotFoundError):
        storage.put("a", tmp_path / "missing")


def test_a_file_that_shrinks_while_it_is_read_is_no_whole_object(storage, root):
    storage.put("a", b"x" * 1000)
    with storage.open("a") as reader:
        reader.read(10)
        os.truncate(root / "a", 5)
        with pytest.raises(StorageUnavailable, match="before their announced end"):
            reader.read(100)


def test_a_damaged_sidecar_is_none(storage, root):
    storage.put("a.png", b"x", content_type="text/plain")
    internal_files(root)[0].write_text("{")

    assert ("image/png", None) == (storage.stat("a.png").content_type, storage.stat("a.png").sha256)


def test_a_large_object_is_never_held_whole(storage):
    source = MadeUp(20 << 20)
    tracemalloc.start()
    try:
        storage.put("a", source)
        storage.copy("a", "b")
        same = source.sha256 == digest(storage, "b")
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()

    assert same
    assert peak < 5 << 20
