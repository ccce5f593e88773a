"""What killed writers and rivals leave of a local store: never bytes with the facts of others."""

import errno
import os
import signal
import threading
import time
from datetime import UTC, datetime, timedelta

import pytest
from services.forked import exit_code_within, fork
from services.local_files import content, internal_files

from uploadmill.backends.storage import local_sidecar as sidecar
from uploadmill.backends.storage.local import LocalStorage
from uploadmill.backends.storage.local_incoming import Incoming
from uploadmill.backends.storage.local_writing import LocalWriter
from uploadmill.backends.storage.unfinished import UnfinishedUpload
from uploadmill.errors import ObjectChanged, StorageUnavailable

# -- killed ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("owner", "where", "visible"),
    [
        (sidecar, "document", b"old"),
        (sidecar, "show", b"old"),
        (LocalWriter, "_publish", b"old"),
        (sidecar, "remove", b"new"),
    ],
)
def test_killed_at_any_point_bytes_and_facts_belong_together(storage, root, owner, where, visible):
    storage.put("a", b"old", metadata={"of": "old"})

    killed_at(owner, where, lambda: storage.put("a", b"new", metadata={"of": "new"}))

    later = LocalStorage(root, name="primary")
    assert visible == content(later, "a")
    assert {"of": visible.decode()} == dict(later.stat("a").metadata)


def killed_at(owner, where, action):
    """Let *action* run in a child that is killed when it comes to that function."""

    def work():
        setattr(owner, where, lambda *_, **__: os.kill(os.getpid(), signal.SIGKILL))
        action()

    assert -signal.SIGKILL == exit_code_within(fork(work), 30)


def test_facts_of_an_object_that_never_came_can_be_found_and_forgotten(storage, root):
    storage.put("in/a", b"old", metadata={"of": "old"})
    storage.put("in/c", b"x")
    killed_at(LocalWriter, "_publish", lambda: storage.put("in/a", b"new"))
    killed_at(LocalWriter, "_publish", lambda: storage.put("in/b", b"new"))
    killed_at(sidecar, "remove", lambda: storage.delete("in/c"))

    left = {upload.key: upload for upload in storage.unfinished()}
    assert {"in/a", "in/b", "in/c"} == set(left)
    assert timedelta() <= datetime.now(UTC) - left["in/b"].begun < timedelta(minutes=1)
    assert ["in/b"] == [upload.key for upload in storage.unfinished("in/b")]
    assert [] == list(storage.unfinished("out/"))

    for upload in left.values():
        storage.abort(upload)
        storage.abort(upload)  # gone is no error

    assert [] == list(storage.unfinished())
    assert {"of": "old"} == dict(storage.stat("in/a").metadata)


def test_the_facts_of_an_object_that_is_there_are_never_forgotten(storage):
    put = storage.put("a", b"x", metadata={"of": "a"})

    assert [] == list(storage.unfinished())
    storage.abort(UnfinishedUpload("a", put.etag, put.modified))

    assert {"of": "a"} == dict(storage.stat("a").metadata)


def test_what_a_killed_process_had_half_written_is_swept_with_the_rest(storage, root):
    storage.ping()
    killed_at(sidecar, "show", lambda: storage.put("a", b"x"))
    left = internal_files(root)
    assert 2 == len(left)  # the bytes and the facts

    for path in left:
        os.utime(path, (time.time() - 90_000,) * 2)
    LocalStorage(root).ping()

    assert [] == internal_files(root)
    assert [] == list(storage.unfinished())


def test_what_a_killed_process_left_is_swept_after_a_day(storage, root):
    storage.ping()
    left, fresh = (root / ".uploadmill/incoming" / name for name in ("left", "fresh"))
    left.write_text("x")
    fresh.write_text("x")
    os.utime(left, (time.time() - 90_000,) * 2)

    LocalStorage(root).ping()

    assert ["fresh"] == [path.name for path in internal_files(root)]


# -- overtaken -------------------------------------------------------------------------------


def test_overwriters_and_readers_never_see_the_facts_of_others(storage):
    storage.put("a", b"0", metadata={"of": "0"})
    stop = threading.Event()
    wrong = []

    def overwrite(digit):
        while not stop.is_set():
            storage.put("a", digit.encode() * 10, metadata={"of": digit})

    def read():
        while not stop.is_set():
            with storage.open("a") as reader:
                bytes_of, facts_of = reader.read(1).decode(), reader.stat.metadata.get("of")
            if bytes_of != facts_of:
                wrong.append((bytes_of, facts_of))

    threads = [threading.Thread(target=overwrite, args=(digit,)) for digit in "123"]
    threads += [threading.Thread(target=read) for _ in range(2)]
    for thread in threads:
        thread.start()
    time.sleep(0.5)
    stop.set()
    for thread in threads:
        thread.join()

    assert [] == [pair for pair in wrong if pair[1] is not None]


def test_puts_survive_deletes_that_remove_their_folders(storage):
    stop = threading.Event()

    def delete():
        while not stop.is_set():
            storage.delete("a/b/c/other")

    thread = threading.Thread(target=delete)
    thread.start()
    try:
        for each in range(50):
            storage.put("a/b/c/other", b"x")
            storage.put(f"a/b/c/{each}", b"x")
            storage.delete(f"a/b/c/{each}")
    finally:
        stop.set()
        thread.join()

    assert [] == [stat.key for stat in storage.list() if stat.key != "a/b/c/other"]


def overtaken(monkeypatch, *writes):
    """Let others write just before, and just after, a file is taken away to be deleted."""
    take, before, after = Incoming.take, *(*writes, lambda: None)[:2]

    def slow(incoming, *place):
        before()
        taken = take(incoming, *place)
        after()
        return taken

    monkeypatch.setattr(Incoming, "take", slow)


def test_what_is_written_between_look_and_delete_is_put_back(storage, root, monkeypatch):
    before = storage.put("a/b", b"old")
    overtaken(monkeypatch, lambda: storage.put("a/b", b"new", metadata={"of": "new"}))

    with pytest.raises(ObjectChanged):
        storage.delete("a/b", if_match=before.etag)

    assert b"new" == content(storage, "a/b")
    assert {"of": "new"} == storage.stat("a/b").metadata
    assert 1 == len(internal_files(root))


def test_what_is_written_while_another_is_put_back_is_newer(storage, root, monkeypatch):
    before = storage.put("a", b"old")
    newer, newest = (lambda given=given: storage.put("a", given) for given in (b"new", b"newest"))
    overtaken(monkeypatch, newer, newest)

    with pytest.raises(ObjectChanged):
        storage.delete("a", if_match=before.etag)

    assert b"newest" == content(storage, "a")
    assert 1 == len(internal_files(root))


def test_a_move_keeps_what_is_written_before_its_delete(storage, monkeypatch):
    storage.put("a", b"old")
    overtaken(monkeypatch, lambda: storage.put("a", b"new"))

    with pytest.raises(ObjectChanged):
        storage.move("a", "b")

    assert (b"new", b"old") == (content(storage, "a"), content(storage, "b"))


def test_a_folder_in_the_place_of_what_is_deleted_stays(storage, root, monkeypatch):
    before = storage.put("a", b"old")

    def replace():
        storage.delete("a")
        storage.put("a/b", b"new")

    overtaken(monkeypatch, replace)
    storage.delete("a", if_match=before.etag)

    assert b"new" == content(storage, "a/b")
    assert 1 == len(internal_files(root))


def full(*_, **__):
    raise OSError(errno.ENOSPC, "No space left on device")


def test_what_cannot_be_put_back_is_kept_and_told(storage, root, monkeypatch, caplog):
    before = storage.put("a", b"old")
    overtaken(
        monkeypatch,
        lambda: storage.put("a", b"new"),
        lambda: monkeypatch.setattr(LocalWriter, "_link", full),
    )

    with pytest.raises(StorageUnavailable):
        storage.delete("a", if_match=before.etag)

    (told,) = (record for record in caplog.records if record.msg == "object_not_put_back")
    kept = root / ".uploadmill/incoming" / told.file
    os.utime(kept, (0, 0))
    monkeypatch.undo()
    LocalStorage(root, name="primary").put("b", b"sweeps first")
    assert b"new" == kept.read_bytes()
