"""S3 on a real server: the contract, and what its failures are translated to."""

import hashlib
import io
import os
import socket
import threading
import time
import tracemalloc
from contextlib import closing, suppress
from datetime import UTC, datetime, timedelta
from functools import partial

import pytest
from botocore.exceptions import ClientError
from services.canned import Reply, canned
from services.forked import exit_code_within, fork
from services.proxy import proxy
from services.remote_stores import (
    OF_VERSIONS,
    all_unavailable,
    assert_contract,
    closed_at_end,
    every_call,
)
from services.s3_stores import BUCKET, HEAD, PART, SERVER_FAULTS, STARTED, boto, new_store, xml
from services.seaweed import Seaweed, seaweed
from services.shared_store import broken_keys, shared_keys
from services.waiting import eventually

from uploadmill.backends.ledger.gc import collect_parts
from uploadmill.backends.ledger.gc_report import Broom
from uploadmill.backends.ledger.ledger import Ledger
from uploadmill.backends.ledger.own_keys import forms
from uploadmill.backends.ledger.settle import Settler
from uploadmill.backends.storage import s3_client
from uploadmill.backends.storage.contract import run_contract
from uploadmill.backends.storage.contract_ground import MadeUp, digest
from uploadmill.backends.storage.contract_put import METADATA
from uploadmill.backends.storage.hashing import HashingReader
from uploadmill.backends.storage.per_process import PerProcess
from uploadmill.backends.storage.roles import Stores
from uploadmill.backends.storage.s3 import S3Storage
from uploadmill.backends.storage.s3_upload import MultipartUpload
from uploadmill.backends.storage.sources import CHUNK
from uploadmill.backends.storage.unfinished import KeepsParts
from uploadmill.errors import (
    IntegrityError,
    InvalidKey,
    ObjectChanged,
    ObjectExists,
    ObjectNotFound,
    SizeLimitExceeded,
    StorageUnavailable,
    Unsupported,
)
from uploadmill.settings import LedgerSettings

SECRETS = ("mill-access", "mill-secret", "127.0.0.1", "Signature=", "://")


@pytest.fixture
def store(s3_server):
    """Makes stores; all are closed at the end."""
    with closed_at_end(partial(new_store, s3_server)) as make:
        yield make


@pytest.fixture(scope="module")
def versioned(s3_server):
    """The name of a bucket that keeps versions."""
    name = s3_server.make_bucket("uploadmill-versions")
    with closing(boto(s3_server)) as client:
        client.put_bucket_versioning(Bucket=name, VersioningConfiguration={"Status": "Enabled"})
    return name


def assert_unavailable(storage, **how):
    all_unavailable(every_call(storage, large=9 << 20), SECRETS, **how)


def uploads(s3_server):
    """Keys of the uploads in parts that are neither finished nor aborted."""
    with closing(boto(s3_server)) as client:
        found = client.list_multipart_uploads(Bucket=BUCKET).get("Uploads", [])
    return [upload["Key"] for upload in found]


def test_s3_keeps_the_contract_and_leaves_nothing(s3, s3_server):
    results = list(run_contract(s3, large=PART + 1000, many=150))

    assert_contract(results, faults=SERVER_FAULTS, lacking=OF_VERSIONS)
    assert [] == list(s3.list())
    assert [] == [key for key in uploads(s3_server) if "test_s3_keeps_the_contract" in key]


def test_s3_keeps_the_contract_in_a_bucket_with_versions(store, versioned):
    storage = store(bucket=versioned, part_size=PART, page_size=20)

    results = run_contract(storage, large=PART + 1000, many=30)
    assert_contract(results, faults=SERVER_FAULTS, lacking=())
    assert [] == list(storage.list())


def test_the_prefix_is_a_wall(store):
    inside, outside = store(), store()
    outside._objects.prefix = ""
    outside.put("made-elsewhere/a", b"x")
    inside.put("a", b"x")

    assert ["a"] == [stat.key for stat in inside.list()]
    outside.delete("made-elsewhere/a")
    inside.delete("a")


def test_objects_of_others_keep_their_own_metadata(store):
    storage = store()
    storage._bucket.client.put_object(
        Bucket=BUCKET, Key="made/others", Body=b"x", Metadata={"percent": "100%25"}
    )

    stat = storage.stat("others")

    assert ({"percent": "100%25"}, None) == (dict(stat.metadata), stat.sha256)
    storage.delete("others")


def test_a_large_copy_goes_by_parts_and_keeps_all(store):
    storage = store(copy_limit=PART, copy_part_size=PART)
    source = MadeUp(2 * PART + 1)
    storage.put("a", source, content_type="a/b", metadata=METADATA)

    stat = storage.copy("a", "b", create_only=True)

    assert ("a/b", METADATA, source.sha256) == (
        stat.content_type,
        dict(stat.metadata),
        stat.sha256,
    )
    assert source.sha256 == digest(storage, "b")
    with pytest.raises(ObjectExists):
        storage.copy("a", "b", create_only=True)
    storage.delete("a", "b")


def test_a_copy_of_an_overwritten_source_says_so(store, monkeypatch):
    storage = store(copy_limit=PART, copy_part_size=PART)
    for size in (10, PART + 1):
        storage.put("a", MadeUp(size))
        stat = storage.stat("a")
        storage.put("a", MadeUp(size, "other"))
        monkeypatch.setattr(storage, "_stat", lambda _key, old=stat: old)
        with pytest.raises(ObjectChanged, match="'a'"):
            storage.copy("a", "b", create_only=True)
        monkeypatch.undo()
        with pytest.raises(ObjectNotFound):
            storage.stat("b")
    storage.delete("a")


def test_more_parts_than_s3_allows_are_refused_before_anything_is_sent(store, monkeypatch):
    monkeypatch.setattr("uploadmill.backends.storage.s3.MAX_PARTS", 1)
    storage = store(part_size=PART)

    with pytest.raises(SizeLimitExceeded):
        storage.put("a", MadeUp(PART + 1))


def test_a_source_that_changes_between_hashing_and_sending_is_never_visible(store, s3_server):
    storage = store(part_size=PART)
    first, second = MadeUp(PART + 5, "first"), MadeUp(PART + 5, "second")
    openings = [second, first]

    def changing():
        return openings.pop()()

    with pytest.raises(IntegrityError):
        storage.put("changing", changing)

    with pytest.raises(ObjectNotFound):
        storage.stat("changing")
    assert [] == [key for key in uploads(s3_server) if "changing" in key]


def test_bytes_damaged_on_the_way_are_refused_by_the_server(store):
    storage = store()
    client = storage._bucket.sender
    put_object = client.put_object
    client.put_object = lambda **options: put_object(
        **options | {"Body": io.BytesIO(b"as THEY were")}
    )

    with pytest.raises(StorageUnavailable, match="BadDigest") as caught:
        storage.put("damaged", b"as they were")

    assert caught.value.retry_here
    with pytest.raises(ObjectNotFound):
        storage.stat("damaged")


def test_a_wrong_secret_is_not_tried_again(store):
    assert_unavailable(store(secret_key="mill-secret-wrong"), retry_here=False)


def test_an_unknown_access_key_is_not_tried_again(store):
    assert_unavailable(store(access_key="mill-access-unknown"), retry_here=False)


def test_a_missing_bucket_is_an_outage_and_no_missing_object(store):
    assert_unavailable(store(bucket="there-is-none"), retry_here=False)


def test_an_impossible_bucket_name_is_not_tried_again(store):
    assert_unavailable(store(bucket="no bucket"), retry_here=False)


def test_no_credentials_at_all_are_not_tried_again(store, monkeypatch, tmp_path):
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_PROFILE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "none"))
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "none"))
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    # A process's session keeps the credentials that it has found once.
    session = PerProcess(s3_client._Session, lambda _session: None)
    monkeypatch.setattr(s3_client, "_SESSION", session)

    assert_unavailable(store(access_key=None, secret_key=None), retry_here=False, calls=["put"])


def test_a_refused_connection_may_pass(store):
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        port = closed.getsockname()[1]

    assert_unavailable(store(endpoint_url=f"http://127.0.0.1:{port}"), retry_here=True)


def test_tls_to_a_server_without_is_not_tried_again(store, s3_server):
    storage = store(endpoint_url=s3_server.endpoint.replace("http:", "https:"))

    assert_unavailable(storage, retry_here=False, calls=["put", "ping"])


def test_a_frozen_server_is_given_up_in_time_and_found_again(tmp_path):
    with seaweed(tmp_path) as server:
        server.make_bucket(BUCKET)
        storage = store_of(server, read_timeout=0.5)
        with closing(store_of(server, read_timeout=60)) as patient:
            patient.put("a", b"x")
        server.freeze()
        try:
            began = time.monotonic()
            assert_unavailable(storage, retry_here=True, calls=["put", "open", "stat", "ping"])
            assert 4 * 0.5 <= time.monotonic() - began < 4 * 1.5
        finally:
            server.thaw()

        assert eventually(lambda: reads(storage, "a"))
        server.stop()
        assert_unavailable(storage, retry_here=True, calls=["put", "open", "ping"])
        storage.close()


def store_of(server: Seaweed, read_timeout: float) -> S3Storage:
    return S3Storage(
        BUCKET,
        endpoint_url=server.endpoint,
        region="us-east-1",
        access_key=server.access_key,
        secret_key=server.secret_key,
        read_timeout=read_timeout,
    )


def reads(storage, key):
    """Whether the object can be read by now."""
    with suppress(StorageUnavailable):
        return read_all(storage, key)


def read_all(storage, key):
    with storage.open(key) as reader:
        return b"".join(iter(lambda: reader.read(CHUNK), b""))


def test_a_connection_cut_in_mid_body_is_no_end_of_the_object(store, s3_server):
    store().put("cut", MadeUp(3 << 20))
    with proxy(s3_server.port) as between:
        storage = store(endpoint_url=between.endpoint)
        between.cut_after = 1 << 20

        with storage.open("cut") as reader:
            got = reader.read(1000)
            with pytest.raises(StorageUnavailable) as caught:
                HashingReader(reader).drain()
        assert MadeUp(3 << 20).part(0, len(got)) == got
        assert caught.value.retry_here

        between.cut_after = None
        assert MadeUp(3 << 20).sha256 == digest(storage, "cut")
        storage.close()


def test_a_body_that_stalls_is_given_up(store, s3_server):
    store().put("stall", MadeUp(30 << 20))
    with proxy(s3_server.port) as between:
        storage = store(endpoint_url=between.endpoint, read_timeout=0.5)

        with storage.open("stall") as reader:
            reader.read(10)
            between.black_hole = True
            with pytest.raises(StorageUnavailable) as caught:
                HashingReader(reader).drain()
        assert caught.value.retry_here
        storage.close()


def test_a_reset_before_the_answer_may_pass(store, s3_server):
    with proxy(s3_server.port) as between:
        between.refusing = True
        assert_unavailable(store(endpoint_url=between.endpoint), retry_here=True)


def test_latency_is_no_failure(store, s3_server):
    with proxy(s3_server.port) as between:
        between.latency = 0.2
        storage = store(endpoint_url=between.endpoint)
        storage.put("slow", b"x")
        assert b"x" == read_all(storage, "slow")
        storage.close()


def test_a_large_upload_whose_connection_breaks_leaves_no_object(store, s3_server):
    with proxy(s3_server.port) as between:
        storage = store(endpoint_url=between.endpoint, part_size=PART)
        source = MadeUp(3 * PART)

        class BreaksAfterOnePart:
            """The opener of a source; the network fails while it is sent."""

            def __init__(self):
                self.stream = source()
                self.read_so_far = 0

            def read(self, size):
                self.read_so_far += size
                between.refusing = self.read_so_far > 2 * PART
                if between.refusing:
                    storage.close()
                return self.stream.read(size)

            def __enter__(self):
                return self

            def __exit__(self, *_):
                pass

        with pytest.raises(StorageUnavailable) as caught:
            storage.put("broken-upload", partial(BreaksAfterOnePart), sha256=source.sha256)

        assert caught.value.retry_here
        storage.close()
    with pytest.raises(ObjectNotFound):
        store().stat("broken-upload")


def canned_store(store, endpoint):
    return store(endpoint_url=endpoint, part_size=1000, stream_limit=0, copy_limit=1 << 30)


def test_an_error_inside_a_200_of_a_completed_upload_is_an_error(store):
    def answer(method, path):
        if method == "POST" and "uploads" in path:
            return Reply(200, STARTED)
        if method == "PUT":
            return Reply(200, headers={"ETag": '"part"'})
        if method == "DELETE":
            return Reply(204)
        return Reply(200, xml("InternalError"))

    with canned(answer) as server:
        storage = canned_store(store, server.endpoint)
        with pytest.raises(StorageUnavailable) as caught:
            storage.put("a", b"x" * 1500)
        storage.close()

    assert caught.value.retry_here
    assert "Signature=" not in str(caught.value)
    assert "DELETE" == server.requests[-1][0], "the upload is aborted"


def test_an_error_inside_a_200_of_a_copy_is_an_error(store):
    def answer(method, _path):
        return Reply(200, headers=HEAD) if method == "HEAD" else Reply(200, xml("SlowDown"))

    with canned(answer) as server:
        storage = canned_store(store, server.endpoint)
        with pytest.raises(StorageUnavailable) as caught:
            storage.copy("a", "b")
        storage.close()

    assert caught.value.retry_here


@pytest.mark.parametrize(
    ("status", "code", "error", "retry_here"),
    [
        (503, "SlowDown", StorageUnavailable, True),
        (503, "ServiceUnavailable", StorageUnavailable, True),
        (500, "InternalError", StorageUnavailable, True),
        (429, "TooManyRequests", StorageUnavailable, True),
        (400, "RequestTimeout", StorageUnavailable, True),
        (403, "RequestTimeTooSkewed", StorageUnavailable, True),
        (409, "OperationAborted", StorageUnavailable, True),
        (403, "AccessDenied", StorageUnavailable, False),
        (400, "ExpiredToken", StorageUnavailable, False),
        (404, "NoSuchBucket", StorageUnavailable, False),
        (501, "NotImplemented", StorageUnavailable, False),
        (507, "XMinioStorageFull", StorageUnavailable, False),
        (400, "EntityTooLarge", Unsupported, None),
        (400, "InvalidArgument", Unsupported, None),
        (400, "InvalidRequest", Unsupported, None),
        (400, "MetadataTooLarge", Unsupported, None),
        (400, "AccessControlListNotSupported", Unsupported, None),
        (400, "KeyTooLongError", InvalidKey, None),
    ],
)
def test_an_answer_means_what_it_says(store, status, code, error, retry_here):
    with canned(lambda *_: Reply(status, xml(code))) as server:
        storage = canned_store(store, server.endpoint)
        with pytest.raises(error) as caught:
            storage.put("a", b"x")
        storage.close()

    assert retry_here is getattr(caught.value, "retry_here", None)
    assert "Signature=" not in str(caught.value)
    assert 1 == len(server.requests), "nobody below us tries again"


def test_a_reply_that_is_no_s3_may_pass(store):
    with canned(lambda *_: Reply(200, b"<html>captive portal", HEAD)) as server:
        storage = canned_store(store, server.endpoint)
        with pytest.raises(StorageUnavailable) as caught:
            list(storage.list())
        storage.close()

    assert caught.value.retry_here


@pytest.mark.parametrize(("there", "error"), [(True, ObjectExists), (False, StorageUnavailable)])
def test_after_a_conflict_we_look_who_won(store, there, error):
    def answer(method, path):
        if method == "PUT":
            return Reply(409, xml("ConditionalRequestConflict"))
        return Reply(200 if there or path.endswith(BUCKET) else 404, headers=HEAD)

    with canned(answer) as server:
        storage = canned_store(store, server.endpoint)
        with pytest.raises(error):
            storage.put("a", b"x", create_only=True)
        storage.close()


def test_a_delete_that_was_refused_for_one_key_says_so(store):
    body = (
        b"<DeleteResult><Error><Key>made/b</Key><Code>AccessDenied</Code></Error>"
        b"<Error><Key>made/a</Key><Code>NoSuchKey</Code></Error></DeleteResult>"
    )
    with canned(lambda *_: Reply(200, body)) as server:
        storage = canned_store(store, server.endpoint)
        with pytest.raises(StorageUnavailable) as caught:
            storage.delete("a", "b")
        storage.close()

    assert not caught.value.retry_here


def test_a_version_that_the_server_does_not_know_is_not_found(store, versioned):
    storage = store(bucket=versioned)
    storage.put("a", b"x")

    for version in ("other", "null"):
        with pytest.raises(ObjectNotFound), storage.open("a", version=version):
            pass
        with pytest.raises(ObjectNotFound):
            storage.restore("a", version)
    storage.delete("a")


def test_a_missing_source_file_is_not_the_stores_fault(store, tmp_path):
    with pytest.raises(FileNotFoundError):
        store().put("a", tmp_path / "missing")


def test_a_fork_gets_connections_of_its_own(store):
    storage = store()
    storage.put("forked", b"x" * 1000)
    client = storage._bucket.client

    children = [fork(lambda: child_works(storage, client)) for _ in range(3)]
    for _ in range(20):
        assert b"x" * 1000 == read_all(storage, "forked")

    assert [0, 0, 0] == [os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) for child in children]
    assert client is storage._bucket.client


def test_a_fork_while_another_thread_makes_a_client_does_not_hang(store, monkeypatch):
    started, go_on = threading.Event(), threading.Event()
    connect, parent = s3_client.S3Access.connect, os.getpid()

    def slowly(access, kind):
        if os.getpid() == parent:
            started.set()
            go_on.wait(10)
        return connect(access, kind)

    monkeypatch.setattr(s3_client.S3Access, "connect", slowly)
    storage = store()
    thread = threading.Thread(target=storage.ping)
    thread.start()
    try:
        assert started.wait(10)

        def work():
            storage.ping()
            return True

        child = fork(work)
        assert 0 == exit_code_within(child, 10)
    finally:
        go_on.set()
        thread.join()


def child_works(storage, parents_client):
    return parents_client is not storage._bucket.client and all(
        read_all(storage, "forked") == b"x" * 1000 for _ in range(20)
    )


def test_threads_share_a_store(store, monkeypatch):
    connect, connected = s3_client.S3Access.connect, []

    def counted(access, kind):
        connected.append(kind)
        return connect(access, kind)

    monkeypatch.setattr(s3_client.S3Access, "connect", counted)
    storage = store()
    wrong = []

    def work(number):
        content = str(number).encode() * 1000
        for _ in range(5):
            storage.put(f"threads/{number}", content)
            if read_all(storage, f"threads/{number}") != content:
                wrong.append(number)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert [] == wrong
    assert ["sending", "usual"] == sorted(connected)


def test_a_large_object_is_never_held_whole(store):
    """Two parts at a time: about 20 MB for any size, most of it the two of 8 MiB."""
    storage = store()
    source = MadeUp(40 << 20)
    storage.put("warm", MadeUp(9 << 20))
    tracemalloc.start()
    try:
        storage.put("whole", source, sha256=source.sha256)
        digest(storage, "whole")
        storage.copy("whole", "whole-copy")
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()

    # A third part would make it 28. On a busy machine it was 22.5 once.
    assert peak < 24_000_000
    storage.delete("whole", "whole-copy", "warm")


def test_the_sha256_is_the_servers_to_verify(store):
    """The checksum is sent, and the server kept it."""
    storage = store()
    storage.put("checked", b"bytes")

    answer = storage._bucket.client.head_object(
        Bucket=BUCKET, Key="made/checked", ChecksumMode="ENABLED"
    )

    assert hashlib.sha256(b"bytes").hexdigest() == answer["Metadata"]["uploadmill-sha256"]
    assert "ChecksumSHA256" in answer


def test_so_is_each_parts(store):
    storage = store()
    content = bytearray(b"a part")
    upload = MultipartUpload(storage._bucket, storage._objects.address("parts"), {})

    assert upload.add(1, content, hashlib.sha256(content).digest())
    with pytest.raises(ClientError, match="BadDigest"):
        upload.add(2, content, hashlib.sha256(b"another").digest())
    upload.abort()


# -- uploads by parts that were broken off -------------------------------------------------


def broken_off(storage, key):
    """An upload whose process was killed after its first part."""
    content = bytearray(b"the first part")
    upload = MultipartUpload(storage._bucket, storage._objects.address(key), {})
    upload.add(1, content, hashlib.sha256(content).digest())


def test_an_upload_that_was_broken_off_can_be_found_and_forgotten(store):
    storage, ours = store(), store()
    ours._objects.prefix = "made/below/"
    broken_off(storage, "uploads/a")
    broken_off(storage, "outputs/b")
    began = datetime.now(UTC)

    found = {upload.key: upload for upload in storage.unfinished()}
    assert {"uploads/a", "outputs/b"} <= set(found)
    assert abs(found["uploads/a"].begun - began) < timedelta(minutes=1)
    assert ["uploads/a"] == [upload.key for upload in storage.unfinished("uploads/")]
    assert list(ours.unfinished()) == []

    for upload in found.values():
        storage.abort(upload)
        storage.abort(upload)  # gone is no error

    assert list(storage.unfinished()) == []
    assert isinstance(storage, KeepsParts)


def test_the_collection_forgets_old_parts_of_our_own_keys(store, redis_url):
    # Given one bucket for every role, which a web app uses too, and uploads of both broken off
    storage = store()
    stores = Stores(storage, storage, storage, storage)
    ours, theirs = broken_keys(stores), shared_keys()
    for key in (*ours, *theirs):
        broken_off(storage, key)
    with closing(Ledger(redis_url, LedgerSettings())) as ledger:
        broom = Broom(
            Settler(ledger, stores), datetime.now(UTC) + timedelta(hours=23), dry_run=False
        )

        def collect_all():
            for each in forms(stores):
                collect_parts(broom, *each)

        # When they are not old enough, nothing goes
        collect_all()
        assert broom.report.piles == {}

        # And when they are, ours
        broom.now += timedelta(hours=2)
        collect_all()

    assert sorted(broom.report.piles["parts"].sample) == sorted(ours)
    assert sorted(upload.key for upload in storage.unfinished()) == sorted(theirs)


def test_the_parts_of_an_outage_are_an_outage(store):
    storage = store(bucket="no-such-bucket")

    with pytest.raises(StorageUnavailable):
        list(storage.unfinished())
