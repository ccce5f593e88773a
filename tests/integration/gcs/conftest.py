"""What the tests of Google Cloud Storage begin with: a key, stores."""

import json

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from services.google_stores import BUCKET, CHUNK_SIZE
from services.remote_stores import closed_at_end

from uploadmill.backends.storage.gcs import GoogleStorage


@pytest.fixture(scope="session")
def google_key():
    """A service account's."""
    return rsa.generate_private_key(public_exponent=65537, key_size=2048)


@pytest.fixture
def google_key_file(google_key, tmp_path):
    """Writes a service account's key file that gets its tokens from a given server."""

    def write(token_endpoint):
        pem = google_key.private_bytes(
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
def google_store(google):
    """Makes stores; all are closed at the end."""
    defaults = {
        "name": "primary",
        "endpoint_url": google.endpoint,
        # Patient with a busy machine; a test that waits for it brings its own.
        "read_timeout": 20.0,
        "chunk_size": CHUNK_SIZE,
        "page_size": 100,
    }

    def new_store(bucket=BUCKET, **options):
        return GoogleStorage(bucket, "made", **defaults | options)

    with closed_at_end(new_store) as make:
        yield make
