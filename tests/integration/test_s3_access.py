"""Who may read an object, on S3: asked for, changed, and refused by a bucket's settings."""

from __future__ import annotations

from contextlib import ExitStack, closing

import pytest
from services.canned import Reply, canned
from services.s3_levels import refusing_levels
from services.s3_stores import BUCKET, PART, new_store, xml
from services.told_breaker import ToldBreakers

from uploadmill.backends.storage import contract
from uploadmill.backends.storage.contract import CHECKS, run_check
from uploadmill.backends.storage.contract_ground import Ground, MadeUp, digest
from uploadmill.backends.storage.failover import FailoverStorage
from uploadmill.backends.storage.features import Access
from uploadmill.backends.storage.memory import MemoryStorage
from uploadmill.errors import ObjectExists, ObjectNotFound, StorageUnavailable, Unsupported

#: Of an object that is empty, that one request could send, that goes by parts anyway.
SIZES = (0, 10, PART + 1)

#: An object's own access list: its owner's.
OWN = b"<AccessControlPolicy><AccessControlList></AccessControlList></AccessControlPolicy>"


@pytest.fixture
def storage(s3_server):
    with closing(new_store(s3_server, base_path="access", part_size=PART)) as storage:
        yield storage


@pytest.fixture
def bucket(s3_server):
    """Makes stores in a bucket whose settings refuse access levels."""
    stack = ExitStack()
    with stack:

        def make(settings):
            between = stack.enter_context(refusing_levels(s3_server.port, settings))
            options = {"base_path": "refused", "part_size": PART, "endpoint_url": between.endpoint}
            return stack.enter_context(closing(new_store(s3_server, **options))), between

        yield make


def requests_of(client, operation):
    """The canned access lists that requests of a kind will have asked for."""
    asked = []
    client.meta.events.register(
        f"before-sign.s3.{operation}",
        lambda request, **_: asked.append(request.headers.get("x-amz-acl")),
    )
    return asked


# -- where the bucket has access lists -----------------------------------------------------


def test_access_is_changed_and_told_and_not_copied(storage):
    # SeaweedFS 4.48 ignores the level of a put, and copies the access list where S3 does not; so
    # of these two the requests are looked at, here and in the next test.
    copies = requests_of(storage._bucket.patient, "CopyObject")
    storage.put("levels", b"x")
    assert Access.PRIVATE == storage.access("levels")

    storage.set_access("levels", Access.PUBLIC_READ)
    storage.copy("levels", "levels-copy")

    assert Access.PUBLIC_READ == storage.access("levels")
    assert [None] == copies
    storage.set_access("levels", Access.PRIVATE)
    assert Access.PRIVATE == storage.access("levels")
    storage.delete("levels", "levels-copy")
    with pytest.raises(ObjectNotFound):
        storage.access("levels")
    with pytest.raises(ObjectNotFound):
        storage.set_access("levels", Access.PRIVATE)


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("access", [None, *Access])
def test_a_put_asks_for_the_access_it_was_told(storage, size, access):
    small = requests_of(storage._bucket.sender, "PutObject")
    parts = requests_of(storage._bucket.client, "CreateMultipartUpload")

    storage.put("a", MadeUp(size), access=access)

    level = access and access.value
    assert ([level], []) == ((parts, small) if access or size > PART else (small, parts))
    storage.delete("a")


@pytest.mark.parametrize("size", SIZES)
def test_what_is_put_with_an_access_level_is_what_is_put_without(storage, size):
    source = MadeUp(size)
    facts = {
        "content_type": "a/b",
        "metadata": {"title": "ü"},
        "cache_control": "no-store",
        "content_disposition": "inline",
    }
    storage.put("without", source, **facts)

    made = storage.put("with", source, access=Access.PRIVATE, create_only=True, **facts)

    found, other = storage.stat("with"), storage.stat("without")
    for name in ("size", "sha256", *facts):
        assert getattr(other, name) == getattr(found, name) == getattr(made, name), name
    assert found.etag == made.etag
    assert source.sha256 == digest(storage, "with") == found.sha256
    with pytest.raises(ObjectExists):
        storage.put("with", MadeUp(size, "other"), access=Access.PRIVATE, create_only=True)
    assert source.sha256 == digest(storage, "with")
    assert [] == list(storage.unfinished())
    storage.delete("with", "without")


# -- where its settings refuse them --------------------------------------------------------


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("settings", ["no lists", "not public", "not allowed"])
def test_a_level_that_is_refused_moves_no_bytes_and_leaves_nothing(bucket, settings, size):
    storage, between = bucket(settings)

    with pytest.raises(Unsupported, match=r"access lists disabled|are refused to us"):
        storage.put("refused", MadeUp(size), access=Access.PUBLIC_READ)

    assert [] == between.sent
    assert not storage.exists("refused")
    assert [] == list(storage.unfinished())


def test_a_bucket_that_is_never_public_takes_what_is_private(bucket):
    storage, _ = bucket("not public")

    storage.put("private", b"x", access=Access.PRIVATE)

    assert Access.PRIVATE == storage.access("private")
    storage.delete("private")


@pytest.mark.parametrize("settings", ["no lists", "not public", "not allowed"])
def test_a_change_that_is_refused_is_the_requests_fault(bucket, settings):
    storage, _ = bucket(settings)
    storage.put("changed", b"x")

    with pytest.raises(Unsupported, match=r"access lists disabled|are refused to us"):
        storage.set_access("changed", Access.PUBLIC_READ)

    storage.delete("changed")


def test_a_list_that_we_may_not_read_is_no_broken_store(bucket):
    storage, _ = bucket("not allowed")
    storage.put("read", b"x")

    with pytest.raises(Unsupported, match="s3:GetObjectAcl is not allowed"):
        storage.access("read")

    storage.delete("read")


@pytest.mark.parametrize("settings", ["no lists", "not public", "not allowed"])
def test_such_a_bucket_keeps_the_contract_of_access_levels(bucket, settings):
    storage, between = bucket(settings)
    ground = Ground(storage, f"contract-{settings.replace(' ', '-')}/", PART + 1000, 30)

    levels = run_check("levels", CHECKS["access_levels_are_kept"], ground)
    assert (True, False) == (levels.ok, levels.offered)
    assert [] == between.sent

    lacking = run_check("lacking", CHECKS["what_is_lacking_moves_no_bytes"], ground)
    assert ("", True) == (lacking.detail, lacking.ok)
    # Where nothing but public is refused, the private object of this check is put.
    assert (settings == "not public") is bool(between.sent)
    contract.leave_nothing(ground)


@pytest.mark.parametrize("settings", ["no lists", "not public", "not allowed"])
def test_a_refused_level_neither_fails_over_nor_counts_against_the_store(bucket, settings):
    storage, _ = bucket(settings)
    breakers, secondary = ToldBreakers(), MemoryStorage("secondary")
    both = FailoverStorage(storage, secondary, breakers=breakers)
    both.put("kept", b"x")

    for ask in (
        lambda: both.put("refused", b"x", access=Access.PUBLIC_READ),
        lambda: both.set_access("kept", Access.PUBLIC_READ),
    ):
        with pytest.raises(Unsupported):
            ask()

    assert "failed" not in breakers("primary").heard
    assert [] == list(secondary.list())
    both.delete("kept")


# -- where everything is refused -----------------------------------------------------------


@pytest.mark.parametrize("size", SIZES)
def test_who_is_not_let_in_at_all_meets_a_broken_store(s3_server, size):
    with (
        canned(lambda *_: Reply(403, xml("AccessDenied"))) as server,
        closing(new_store(s3_server, endpoint_url=server.endpoint, part_size=PART)) as storage,
    ):
        for ask in (
            lambda: storage.put("a", MadeUp(size), access=Access.PUBLIC_READ),
            lambda: storage.set_access("a", Access.PUBLIC_READ),
            lambda: storage.access("a"),
        ):
            with pytest.raises(StorageUnavailable) as caught:
                ask()
            assert not caught.value.retry_here

    assert {b""} == set(server.bodies), "no byte of the object"


def test_an_outage_while_we_ask_what_is_refused_is_an_outage(s3_server):
    def answer(_method, _path):
        asks = server.headers[-1].get("x-amz-acl")
        return Reply(403, xml("AccessDenied")) if asks else Reply(503, xml("SlowDown"))

    with (
        canned(answer) as server,
        closing(new_store(s3_server, endpoint_url=server.endpoint)) as storage,
        pytest.raises(StorageUnavailable) as caught,
    ):
        storage.put("a", b"x", access=Access.PUBLIC_READ)

    assert caught.value.retry_here


def test_a_put_that_asks_for_no_level_is_not_asked_twice(s3_server):
    with (
        canned(lambda *_: Reply(403, xml("AccessDenied"))) as server,
        closing(new_store(s3_server, endpoint_url=server.endpoint)) as storage,
        pytest.raises(StorageUnavailable),
    ):
        storage.put("a", b"x")

    assert [("PUT", f"/{BUCKET}/made/a")] == server.requests
