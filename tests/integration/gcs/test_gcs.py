"""Google Cloud Storage on an emulator: the contract, and what is beyond it."""

import base64
import json
from urllib.parse import urlsplit

import pytest
import requests
from services.canned import Reply, canned
from services.google_stores import (
    BUCKET,
    CHUNK_SIZE,
    DESCRIBED,
    MADE,
    SERVER_FAULTS,
    VERSIONED,
    read_all,
    signed_in,
    storage_part,
)
from services.remote_stores import OF_VERSIONS, assert_contract

from uploadmill.backends.storage.contract import run_contract
from uploadmill.backends.storage.contract_ground import MadeUp
from uploadmill.backends.storage.features import Access
from uploadmill.backends.storage.gcs import GoogleStorage
from uploadmill.backends.storage.opening import open_storage
from uploadmill.backends.storage.unfinished import KeepsParts
from uploadmill.errors import (
    InvalidSettings,
    ObjectNotFound,
    StorageUnavailable,
    Unsupported,
)


@pytest.mark.parametrize("bucket", [BUCKET, VERSIONED])
def test_google_keeps_the_contract_and_leaves_nothing(google_store, google_key_file, bucket):
    with signed_in(google_store, google_key_file, bucket=bucket, read_timeout=10.0) as (storage, _):
        results = run_contract(storage, large=CHUNK_SIZE + 1000, many=150)

        lacking = OF_VERSIONS if bucket == BUCKET else ()
        assert_contract(results, faults=SERVER_FAULTS, lacking=lacking)
        assert [] == [stat.key for stat in storage.list()]


def test_an_emulator_without_credentials_signs_nothing(google_store):
    storage = google_store()

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


def test_the_environment_does_not_lead_elsewhere(google_store, monkeypatch):
    monkeypatch.setenv("STORAGE_EMULATOR_HOST", "http://127.0.0.1:1")

    google_store().ping()


@pytest.mark.parametrize("bucket", ["UPPER", "a b", "x", "a/b", "-a-", ""])
def test_an_impossible_bucket_name_is_a_mistake_in_the_settings(bucket):
    with pytest.raises(InvalidSettings, match="'primary'"):
        GoogleStorage(bucket, name="primary")


def test_an_impossible_chunk_size_is_a_mistake_in_the_settings():
    with pytest.raises(InvalidSettings, match="chunk_size"):
        GoogleStorage(BUCKET, chunk_size=1000)


def test_the_prefix_is_a_wall(google, google_store):
    inside = google_store()
    outside = GoogleStorage(BUCKET, endpoint_url=google.endpoint)
    outside.put("made-elsewhere/a", b"x")
    inside.put("a", b"x")

    assert ["a"] == [stat.key for stat in inside.list()]
    outside.delete("made-elsewhere/a", "made/a")
    outside.close()


def test_objects_of_others_keep_their_own_metadata(google_store):
    storage = google_store()
    blob = storage._bucket.connection.bucket.blob("made/others")
    blob.metadata = {"percent": "100%25"}
    blob.upload_from_string(b"x")

    stat = storage.stat("others")

    assert ({"percent": "100%25"}, None) == (dict(stat.metadata), stat.sha256)
    storage.delete("others")


def test_objects_stored_compressed_are_read_as_they_are_stored(google_store):
    storage = google_store()
    packed = base64.b64decode("H4sIAAAAAAACA0tMSk4BAMHyiK4EAAAA")
    blob = storage._bucket.connection.bucket.blob("made/packed")
    blob.content_encoding = "gzip"
    blob.upload_from_string(packed)

    assert packed == read_all(storage, "packed")
    assert packed[2:6] == storage_part(storage, "packed", 2, 4)
    storage.delete("packed")


def test_the_etag_changes_with_the_bytes_and_not_with_the_access(google_store):
    storage = google_store()
    before = storage.put("etag", b"x")
    storage.set_access("etag", Access.PUBLIC_READ)

    assert before.etag == storage.stat("etag").etag
    assert before.etag != storage.put("etag", b"y").etag
    storage.delete("etag")


def test_a_store_of_google_keeps_no_parts_to_be_swept(google_store):
    """Google forgets unfinished uploads by itself after a week, and lists none."""
    assert not isinstance(google_store(), KeepsParts)


def test_an_object_overwritten_between_look_and_read_is_looked_up_again(google_store, monkeypatch):
    storage = google_store()
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


def test_an_answer_with_another_part_than_asked_for_is_not_read(google_store):
    def answer(_method, path):
        whole = Reply(200, b"whole")
        return whole if "alt=media" in path else Reply(200, json.dumps(DESCRIBED).encode())

    with canned(answer) as server:
        storage = google_store(endpoint_url=server.endpoint)
        with pytest.raises(StorageUnavailable, match="another part"):
            storage_part(storage, "a", 1, 2)
        assert b"whole" == read_all(storage, "a")
        storage.close()


def test_an_account_that_may_not_look_at_the_bucket_works_without_versions(google_store):
    def answer(method, path):
        if method == "GET" and "/o" not in urlsplit(path).path:
            return Reply(403, b'{"error": {"message": "no", "errors": [{"reason": "forbidden"}]}}')
        return MADE

    with canned(answer) as server:
        storage = google_store(endpoint_url=server.endpoint)
        assert storage.put("a", b"x").version is None
        with pytest.raises(Unsupported, match=r"storage\.buckets\.get"):
            list(storage.versions("a"))
        storage.put("a", b"x")
        storage.close()

    looks = [path for method, path in server.requests if method == "GET"]
    assert 1 == len(looks), "the bucket is looked at once"


@pytest.mark.parametrize("version", ["other", "", "-1", "1", "9" * 30, "1795412533322120"])
def test_a_version_that_never_was_is_not_found(google_store, version):
    storage = google_store(bucket=VERSIONED)
    storage.put("a", b"x")

    with pytest.raises(ObjectNotFound):
        storage.restore("a", version)
    with pytest.raises(ObjectNotFound), storage.open("a", version=version):
        pass
    storage.delete("a")


def test_versions_of_longer_names_are_others(google_store):
    storage = google_store(bucket=VERSIONED)
    for _ in range(3):
        storage.put("v", b"x")
        storage.put("v/1", b"x")
        storage.put("v1", b"x")

    kept = list(storage.versions("v"))

    assert ["v", "v", "v"] == [each.key for each in kept]
    ids = [int(each.version) for each in kept]
    assert sorted(ids, reverse=True) == ids
    storage.delete("v", "v/1", "v1")


def test_access_is_taken_from_everybody_and_nobody_else(google_store, google):
    storage = google_store()
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


def test_a_bucket_with_uniform_access_has_no_levels_and_opens_no_source(google_store):
    uniform = {"iamConfiguration": {"uniformBucketLevelAccess": {"enabled": True}}}
    source = MadeUp(10)
    with canned(lambda *_: Reply(200, json.dumps(uniform).encode())) as server:
        storage = google_store(endpoint_url=server.endpoint)
        with pytest.raises(Unsupported, match="uniform"):
            storage.put("a", source, access=Access.PRIVATE)
        with pytest.raises(Unsupported, match="uniform"):
            storage.access("a")
        with pytest.raises(Unsupported, match="uniform"):
            storage.set_access("a", Access.PRIVATE)
        storage.close()

    assert 0 == source.opened
    assert 1 == len(server.requests)
