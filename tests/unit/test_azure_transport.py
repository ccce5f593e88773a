"""What is sent to Azure leaves by pieces."""

import io

import pytest
import requests
from requests.adapters import HTTPAdapter
from urllib3 import HTTPResponse

from uploadmill.backends.storage.azure import AzureStorage
from uploadmill.backends.storage.body import PIECE


@pytest.fixture
def bodies(monkeypatch):
    """The body of each request, as the network gets it; all of them succeed."""
    found = []

    def send(_adapter, request, **_options):
        body = request.body
        pieces = [body] if isinstance(body, bytes) else [bytes(piece) for piece in body]
        assert int(request.headers["Content-Length"]) == sum(map(len, pieces))
        found.append(pieces)
        response = requests.Response()
        response.status_code = 201
        response.headers["ETag"] = '"made"'
        response.headers["Last-Modified"] = "Sun, 22 Nov 2026 10:00:00 GMT"
        response.raw = HTTPResponse(io.BytesIO(), status=201, preload_content=False)
        return response

    monkeypatch.setattr(HTTPAdapter, "send", send)
    return found


@pytest.fixture
def storage():
    url = "https://acme.blob.core.windows.net"
    storage = AzureStorage("box", account_url=url, access_key="a2V5", part_size=1 << 20)
    yield storage
    storage.close()


def test_a_small_object_leaves_in_one_request_by_pieces(bodies, storage):
    content = bytes(range(256)) * 4000

    storage.put("key", content)

    (pieces,) = bodies
    assert content == b"".join(pieces)
    assert PIECE == max(map(len, pieces))


def test_each_block_of_a_large_object_leaves_by_pieces(bodies, storage):
    content = bytes(range(256)) * 10_000

    storage.put("key", content)

    *blocks, _list = bodies
    assert content == b"".join(piece for block in blocks for piece in block)
    assert PIECE == max(len(piece) for block in blocks for piece in block)
