"""Stores that need two requests to read nothing: what others write in between is not mixed in."""

import pytest
from services import s3_stores
from services.canned import Reply, canned
from services.remote_stores import closed_at_end

from uploadmill.backends.storage.azure import AzureStorage
from uploadmill.backends.storage.one_state import LOOKS
from uploadmill.backends.storage.s3 import S3Storage
from uploadmill.errors import ObjectChanged, StorageUnavailable

#: S3 reads the whole of an empty object in one request.
TWO_REQUESTS = [("s3", 5), ("azure", 0), ("azure", 5)]


@pytest.fixture
def opened(request):
    """Opens a store by its kind, on a real server."""

    def make(*, kind):
        if kind == "s3":
            server = request.getfixturevalue("s3_server")
            return s3_stores.new_store(server, base_path="one-state")
        server = request.getfixturevalue("azure_server")
        access = {"account_url": server.account_url, "access_key": server.access_key}
        return AzureStorage(s3_stores.BUCKET, "one-state", **access)

    with closed_at_end(make) as made:
        yield made


def overtaken(monkeypatch, storage, *, before, after=()):
    """Let others write before, and after, the facts of an object without bytes are looked up.

    Returns:
        The sizes that were found then, as they are found.
    """
    look, found, before, after = storage._objects.head, [], list(before), list(after)

    def slow(key, *conditions):
        if before:
            storage.put(key, before.pop(0), metadata={"of": "others"})
        stat = look(key, *conditions)
        found.append(stat.size)
        if after:
            storage.put(key, after.pop(0))
        return stat

    monkeypatch.setattr(storage._objects, "head", slow)
    return found


@pytest.mark.parametrize(("kind", "start"), TWO_REQUESTS)
def test_what_is_written_in_between_is_read_with_its_own_facts(opened, monkeypatch, kind, start):
    storage = opened(kind=kind)
    storage.put("a", b"", metadata={"of": "nothing"})
    overtaken(monkeypatch, storage, before=[b"written"])

    with storage.open("a", start=start) as reader:
        assert b"written"[start:] == reader.read(100)
        assert (7, {"of": "others"}) == (reader.stat.size, dict(reader.stat.metadata))
    storage.delete("a")


@pytest.mark.parametrize(("kind", "start"), TWO_REQUESTS)
def test_another_state_without_bytes_there_is_as_good(opened, monkeypatch, kind, start):
    storage = opened(kind=kind)
    storage.put("a", b"", metadata={"of": "nothing"})
    found = overtaken(monkeypatch, storage, before=[b"xx"[:start]])

    with storage.open("a", start=start) as reader:
        assert b"" == reader.read(100)
        assert {"of": "others"} == dict(reader.stat.metadata)
    assert 1 == len(found)
    storage.delete("a")


@pytest.mark.parametrize(("kind", "start"), TWO_REQUESTS)
def test_an_object_that_never_keeps_still_is_given_up(opened, monkeypatch, kind, start):
    storage = opened(kind=kind)
    storage.put("a", b"")
    found = overtaken(
        monkeypatch, storage, before=[b"written"] * (LOOKS + 1), after=[b""] * (LOOKS + 1)
    )

    with (
        pytest.raises(ObjectChanged, match="faster than it can be opened"),
        storage.open("a", start=start),
    ):
        pass

    assert [7] * LOOKS == found
    monkeypatch.undo()
    storage.delete("a")


@pytest.mark.parametrize(("kind", "start"), TWO_REQUESTS)
def test_the_etag_that_was_asked_for_is_minded_at_both(opened, monkeypatch, kind, start):
    storage = opened(kind=kind)
    before = storage.put("a", b"")
    overtaken(monkeypatch, storage, before=[b"written"])

    with pytest.raises(ObjectChanged), storage.open("a", start=start, if_match=before.etag):
        pass
    monkeypatch.undo()
    storage.delete("a")


def test_a_server_that_sends_the_whole_for_a_part_is_not_believed():
    whole = Reply(200, b"whole", s3_stores.HEAD)
    with canned(lambda *_: whole) as server:
        storage = S3Storage(
            s3_stores.BUCKET,
            endpoint_url=server.endpoint,
            region="us-east-1",
            access_key="x",
            secret_key="x",
        )
        with pytest.raises(StorageUnavailable, match="another part"), storage.open("a", start=2):
            pass
        assert b"whole" == storage.read("a", 5)
        storage.close()
