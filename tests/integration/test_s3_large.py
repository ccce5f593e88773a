"""Large objects on S3: what is sent is what was hashed, and nothing is left of what failed."""

from __future__ import annotations

import hashlib
import io
from contextlib import closing

import pytest
from botocore.exceptions import ReadTimeoutError
from services.canned import Reply, canned
from services.proxy import proxy
from services.s3_stores import PART, STARTED, new_store
from services.shared_store import broken_keys, shared_keys
from services.waiting import eventually

from uploadmill.backends.ledger.gc import collect
from uploadmill.backends.ledger.ledger import Ledger
from uploadmill.backends.ledger.settle import Settler
from uploadmill.backends.storage.contract_ground import MadeUp, digest
from uploadmill.backends.storage.roles import Stores
from uploadmill.backends.storage.s3_upload import MultipartUpload
from uploadmill.errors import (
    IntegrityError,
    ObjectExists,
    ObjectNotFound,
    SizeLimitExceeded,
    StorageUnavailable,
)
from uploadmill.settings import LedgerSettings


@pytest.fixture
def storage(s3_server):
    with closing(new_store(s3_server, base_path="large", part_size=PART)) as storage:
        yield storage


def changing(*sources):
    """An opener that gives another source each time."""
    left = iter(sources)

    def opener():
        return next(left)()

    return opener


@pytest.mark.parametrize(
    "second",
    [
        MadeUp(2 * PART + 5, "other"),
        MadeUp(2 * PART + 6),
        MadeUp(2 * PART + 4),
        MadeUp(2 * PART),
        MadeUp(3 * PART),
        MadeUp(0),
    ],
    ids=["other", "one more", "one less", "a part less", "a part more", "nothing"],
)
def test_a_source_that_changes_after_it_was_hashed_is_never_visible(storage, second):
    with pytest.raises(IntegrityError, match="the source has"):
        storage.put("changing", changing(MadeUp(2 * PART + 5), second))

    with pytest.raises(ObjectNotFound):
        storage.stat("changing")
    assert [] == list(storage.unfinished("changing"))


def test_a_server_that_verifies_nothing_is_not_believed(s3_server):
    def answer(method, _path):
        if method == "POST":
            return Reply(200, STARTED)
        return Reply(200, headers={"ETag": '"part"'}) if method == "PUT" else Reply(204)

    with canned(answer) as server:
        options = {"endpoint_url": server.endpoint, "part_size": 1000}
        with (
            closing(new_store(s3_server, **options)) as storage,
            pytest.raises(IntegrityError, match="has changed"),
        ):
            storage.put("a", changing(MadeUp(1500), MadeUp(1500, "other")))

    assert "DELETE" == server.requests[-1][0], "the upload is aborted"


def test_parts_that_arrive_in_another_order_make_the_same_object(storage, monkeypatch):
    add = MultipartUpload.add

    def slow_first(self, number, content, sha256):
        if number == 1:
            # The first part waits until the second has arrived.
            assert eventually(lambda: 2 in self._parts)
        return add(self, number, content, sha256)

    monkeypatch.setattr(MultipartUpload, "add", slow_first)
    source = MadeUp(3 * PART + 1)

    assert source.sha256 == storage.put("order", source).sha256 == digest(storage, "order")
    storage.delete("order")


@pytest.mark.parametrize("cut_after", [0, 26], ids=["whole", "but its status"])
def test_a_small_put_whose_reply_is_lost_is_there_and_said_to_be_uncertain(s3_server, cut_after):
    with proxy(s3_server.port) as between:
        between.cut_after = cut_after
        with closing(new_store(s3_server, endpoint_url=between.endpoint)) as storage:
            with pytest.raises(StorageUnavailable) as caught:
                storage.put("lost", b"small", create_only=True)
            assert caught.value.retry_here

            between.cut_after = None
            assert b"small" == storage.read("lost", 10, verify=True)
            with pytest.raises(ObjectExists):
                storage.put("lost", b"small", create_only=True)
            assert 5 == storage.put("lost", b"small").size
            storage.delete("lost")


def test_a_large_put_whose_last_reply_is_lost_is_there_whole(storage, monkeypatch):
    source = MadeUp(PART + 1)
    complete = MultipartUpload.complete

    def lost(self, condition):
        complete(self, condition)
        raise ReadTimeoutError(endpoint_url="made up")

    with monkeypatch.context() as patched:
        patched.setattr(MultipartUpload, "complete", lost)
        with pytest.raises(StorageUnavailable) as caught:
            storage.put("lost-large", source)

    assert caught.value.retry_here
    assert source.sha256 == digest(storage, "lost-large")
    assert [] == list(storage.unfinished("lost-large"))
    assert source.sha256 == storage.put("lost-large", source).sha256
    storage.delete("lost-large")


@pytest.mark.parametrize("prefix", ["", "media/"])
def test_a_collection_forgets_our_parts_in_stores_of_every_role(s3_server, redis_url, prefix):
    # Given four stores, each shared with a web app, and in all of them uploads of ours and of the
    # web app's that were broken off
    names = ("staging", "primary", "secondary", "quarantine")
    roles = [new_store(s3_server, name=name, base_path=f"gc-{name}") for name in names]
    stores = Stores(*roles, prefix=prefix)
    ours, theirs = broken_keys(stores), shared_keys()
    for store, key in zip(roles, ours, strict=True):
        for each in (key, *theirs):
            MultipartUpload(store._bucket, store._objects.address(each), {})

    # When they are old enough
    constants = LedgerSettings(stage_fresh=0.5, stage_grace=1.0)
    with closing(Ledger(redis_url, constants)) as ledger:
        settler = Settler(ledger, stores)
        found = set()

        def all_found():
            pile = collect(settler, dry_run=False).piles.get("parts")
            found.update(pile.sample if pile else ())
            left = [upload.key for store in roles for upload in store.unfinished()]
            return len(left) <= len(roles) * len(theirs)

        # Then ours go, and no others
        assert eventually(all_found)
    assert set(ours) == found
    for store in roles:
        assert sorted(theirs) == sorted(upload.key for upload in store.unfinished())
    for store in roles:
        for upload in store.unfinished():
            store.abort(upload)
        store.close()


# -- in one request ------------------------------------------------------------------------


LARGE = MadeUp(PART + 5).part(0, PART + 5)


@pytest.mark.parametrize(
    "second",
    [MadeUp(PART + 5, "other").part(0, PART + 5), LARGE + b"x", LARGE[:-1], b""],
    ids=["other", "one more", "one less", "nothing"],
)
@pytest.mark.parametrize("told", [True, False], ids=["told", "hashed"])
def test_a_file_that_changes_while_it_is_streamed_is_never_visible(storage, second, told):
    # Opened to look at it, and perhaps to hash it; and once more to be sent
    states = [LARGE, second]
    sha256 = hashlib.sha256(LARGE).hexdigest() if told else None

    with pytest.raises(IntegrityError):
        storage.put("streamed", lambda: io.BytesIO(states.pop(0)), sha256=sha256)

    assert [] == states
    with pytest.raises(ObjectNotFound):
        storage.stat("streamed")


def test_what_a_file_raises_while_it_is_streamed_comes_out_as_it_is(storage):
    class Broken(io.BytesIO):
        def read(self, size=-1, /):
            if self.tell() > PART:
                raise OSError(5, "the disk is broken")
            return super().read(size)

    with pytest.raises(OSError, match="the disk is broken"):
        storage.put("streamed", lambda: Broken(LARGE * 2), sha256="0" * 64)
    with pytest.raises(SizeLimitExceeded):
        storage.put("streamed", io.BytesIO(LARGE), sha256="0" * 64, max_size=PART)

    with pytest.raises(ObjectNotFound):
        storage.stat("streamed")


@pytest.mark.parametrize("limit", [PART + 4, PART + 5], ids=["by parts", "streamed"])
@pytest.mark.parametrize("told", [True, False], ids=["told", "hashed"])
def test_both_ways_make_the_same_object(s3_server, tmp_path, limit, told):
    source = tmp_path / "source"
    source.write_bytes(LARGE)
    sha256 = hashlib.sha256(LARGE).hexdigest()
    with closing(new_store(s3_server, part_size=PART, stream_limit=limit)) as storage:
        options = {"sha256": sha256 if told else None, "metadata": {"a": "ü"}}
        put = storage.put("both", source, cache_control="no-store", **options)

        found = storage.stat("both")
        assert (len(LARGE), sha256, {"a": "ü"}, "no-store", put.etag) == (
            found.size,
            found.sha256,
            found.metadata,
            found.cache_control,
            found.etag,
        )
        assert LARGE == storage.read("both", len(LARGE), verify=True)
        with pytest.raises(ObjectExists):
            storage.put("both", source, create_only=True, **options)
        storage.delete("both")
