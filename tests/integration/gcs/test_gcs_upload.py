"""What is written to Google Cloud Storage, request by request: puts and copies."""

import json
import socket
from urllib.parse import parse_qs, urlsplit

import pytest
from services.canned import Reply, canned
from services.google_stores import CHUNK_SIZE, DESCRIBED, MADE

from uploadmill.backends.storage.contract_ground import MadeUp
from uploadmill.backends.storage.features import Access
from uploadmill.errors import (
    IntegrityError,
    ObjectChanged,
    ObjectExists,
    ObjectNotFound,
    StorageUnavailable,
    Unsupported,
)


def test_a_source_that_changes_between_hashing_and_sending_is_never_visible(google_store):
    storage = google_store()
    first, second = MadeUp(2 * CHUNK_SIZE + 5, "first"), MadeUp(2 * CHUNK_SIZE + 5, "second")
    openings = [second, first]

    with pytest.raises(IntegrityError):
        storage.put("changing", lambda: openings.pop()())  # noqa: PLW0108 (another one each time)

    with pytest.raises(ObjectNotFound):
        storage.stat("changing")


@pytest.mark.parametrize("size", [10, CHUNK_SIZE, 2 * CHUNK_SIZE, 2 * CHUNK_SIZE + 1])
def test_the_checksum_sent_is_the_one_the_server_computes(google_store, size, monkeypatch):
    storage = google_store()
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


def test_what_the_server_did_not_keep_of_a_chunk_is_sent_again(google_store):
    kept = [
        Reply(308, headers={"Range": "bytes=0-524287"}),
        Reply(308, headers={"Range": f"bytes=0-{CHUNK_SIZE - 1}"}),
        MADE,
    ]
    answer, addresses = resumable(kept)
    with canned(answer) as server:
        addresses.append(server.endpoint)
        storage = google_store(endpoint_url=server.endpoint)
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
def test_an_upload_that_fails_is_cancelled(google_store, reply, error, retry_here):
    answer, addresses = resumable([Reply(308, headers={"Range": "bytes=0-1048575"}), reply])
    with canned(answer) as server:
        addresses.append(server.endpoint)
        storage = google_store(endpoint_url=server.endpoint)
        with pytest.raises(error) as caught:
            storage.put("a", MadeUp(CHUNK_SIZE + 10), create_only=True)
        storage.close()

    assert ("DELETE", "/session?upload_id=1") == server.requests[-1]
    assert retry_here is getattr(caught.value, "retry_here", None)
    cause = caught.value
    while cause is not None:
        assert "upload_id" not in str(cause), "who has the address may write there"
        cause = cause.__cause__


def test_the_address_of_an_upload_is_in_no_error_of_the_network(google_store):
    answer, addresses = resumable([])
    with canned(answer) as server, socket.socket() as refusing:
        refusing.bind(("127.0.0.1", 0))
        addresses.append(f"http://127.0.0.1:{refusing.getsockname()[1]}")
        storage = google_store(endpoint_url=server.endpoint)
        with pytest.raises(StorageUnavailable) as caught:
            storage.put("a", MadeUp(CHUNK_SIZE + 10))
        storage.close()

    assert caught.value.retry_here
    assert "upload_id" not in repr(caught.value.__cause__)


def test_an_object_that_may_not_be_public_is_not_taken_for_one_that_is_there(google_store):
    body = b'{"error": {"message": "\xe2\x80\xa6 public access prevention is enforced."}}'
    with canned(lambda method, _: Reply(412, body) if method == "POST" else MADE) as server:
        storage = google_store(endpoint_url=server.endpoint)
        with pytest.raises(Unsupported):
            storage.put("a", b"x", access=Access.PUBLIC_READ, create_only=True)
        storage.close()


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


def test_a_large_copy_takes_as_many_requests_as_google_likes(google_store):
    part = {"done": False, "rewriteToken": "go-on", "totalBytesRewritten": "2", "objectSize": "5"}
    made = {**DESCRIBED, "name": "made/b", "generation": "4"}
    done = {"done": True, "resource": made, "totalBytesRewritten": "5", "objectSize": "5"}
    replies = [Reply(200, json.dumps(each).encode()) for each in (part, part, done)]
    with canned(rewriting(*replies)) as server:
        storage = google_store(endpoint_url=server.endpoint)
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


def test_a_copy_whose_condition_does_not_hold_says_which(google_store):
    for there, error in ((True, ObjectExists), (False, ObjectChanged)):
        answer = rewriting(Reply(412))
        looks = []

        def taken(method, path, answer=answer, looks=looks, there=there):
            looks.append("made%2Fb" in path and method == "GET")
            if there and looks.count(True) > 1 and looks[-1]:
                return Reply(200, json.dumps(DESCRIBED).encode())
            return answer(method, path)

        with canned(taken) as server:
            storage = google_store(endpoint_url=server.endpoint)
            with pytest.raises(error):
                storage.copy("a", "b", create_only=True)
            storage.close()


def test_a_copy_of_an_overwritten_source_says_so(google_store, monkeypatch):
    storage = google_store()
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


@pytest.mark.parametrize("call", ["put", "copy"])
def test_what_was_made_is_not_denied_by_an_outage_afterwards(google_store, call):
    made = []

    def answer(method, path):
        if made:
            return Reply(503)
        if method == "POST":
            made.append(path)
            sizes = {"totalBytesRewritten": "5", "objectSize": "5"}
            done = {"done": True, "resource": DESCRIBED, **sizes}
            return MADE if call == "put" else Reply(200, json.dumps(done).encode())
        return Reply(200, json.dumps(DESCRIBED).encode())

    with canned(answer) as server:
        storage = google_store(endpoint_url=server.endpoint)
        stat = storage.put("a", b"x") if call == "put" else storage.copy("a", "b")
        storage.close()

    assert stat.etag
    assert 1 == len(made)
