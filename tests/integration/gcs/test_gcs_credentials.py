"""Who signs in to Google Cloud Storage, and what is signed in their name."""

import base64
import json
import time
from urllib.parse import parse_qs, unquote, urlsplit

import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding
from services.canned import Reply, canned
from services.google_stores import (
    BUCKET,
    assert_unavailable,
    signed_in,
)
from services.proxy import proxy

from uploadmill.backends.storage.gcs_client import GoogleAccess
from uploadmill.errors import (
    StorageUnavailable,
    Unsupported,
)


def test_an_address_is_signed_for_one_object_and_a_time(google_store, google_key_file):
    with signed_in(google_store, google_key_file) as (storage, tokens):
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


def test_a_form_is_signed_for_one_key_type_and_size(google_store, google_key_file, google_key):
    with signed_in(google_store, google_key_file) as (storage, _):
        form = storage.presign_upload("a.txt", content_type="text/plain", min_size=1, max_size=9)

    policy = json.loads(base64.b64decode(form.fields["policy"]))
    expected = (
        ["content-length-range", 1, 9],
        {"key": "made/a.txt"},
        {"Content-Type": "text/plain"},
        {"bucket": BUCKET},
    )
    assert [] == [each for each in expected if each not in policy["conditions"]]
    google_key.public_key().verify(
        bytes.fromhex(form.fields["x-goog-signature"]),
        form.fields["policy"].encode(),
        padding.PKCS1v15(),
        hashes.SHA256(),
    )


def test_credentials_without_a_key_sign_nothing(google_store, monkeypatch):
    storage = google_store()
    storage.lacks = {}

    with pytest.raises(Unsupported, match="service account"):
        storage.url("a", expires=60)


def test_a_service_account_signs_in_with_a_token(google_store, google_key_file):
    with (
        canned(lambda *_: Reply(200, b'{"items": []}')) as server,
        signed_in(google_store, google_key_file, endpoint_url=server.endpoint) as (storage, tokens),
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
def test_a_refused_sign_in_is_not_tried_again(google_store, google_key_file, reply, retry_here):
    with canned(lambda *_: reply) as tokens:
        storage = google_store(credentials_path=google_key_file(tokens.endpoint))
        assert_unavailable(storage, retry_here=retry_here, calls=["put", "open", "ping"])


def test_a_black_hole_on_the_way_to_a_token_is_given_up_in_time(
    google_store, google_key_file, google
):
    with proxy(google.port) as between:
        between.black_hole = True
        path = google_key_file(between.endpoint)
        storage = google_store(credentials_path=path, read_timeout=0.5)
        began = time.monotonic()
        assert_unavailable(storage, retry_here=True, calls=["put", "ping"])
        assert time.monotonic() - began < 2 * 1.5
        storage.close()


@pytest.mark.parametrize("content", [None, "no json", "{}"])
def test_an_unusable_key_file_is_not_tried_again(google_store, tmp_path, content):
    path = tmp_path / "key.json"
    if content is not None:
        path.write_text(content)

    storage = google_store(credentials_path=str(path))

    assert_unavailable(storage, retry_here=False)
    with pytest.raises(StorageUnavailable, match="credentials_path"):
        storage.ping()


def test_no_credentials_at_all_are_not_tried_again(google_store, monkeypatch, tmp_path):
    monkeypatch.setenv("NO_GCE_CHECK", "true")
    monkeypatch.setenv("CLOUDSDK_CONFIG", str(tmp_path))
    monkeypatch.setenv("GOOGLE_APPLICATION_CREDENTIALS", "")

    assert_unavailable(google_store(endpoint_url=None), retry_here=False, calls=["put", "ping"])


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
