"""A producer on a real Valkey and memory stores, and the parts it works with."""

import socket

import pytest
import redis
from services.producers import memory_uploads


@pytest.fixture
def uploads(redis_url):
    with memory_uploads(redis_url) as uploads:
        yield uploads


@pytest.fixture
def staging(uploads):
    return uploads._clients.stores.staging


@pytest.fixture
def broker(redis_url):
    """The Redis behind it all, as a plain client."""
    with redis.Redis.from_url(redis_url) as client:
        yield client


@pytest.fixture
def refusing_url():
    """The address of a Redis that is not running."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))  # bound, not listening: nobody else gets the port
        yield f"redis://127.0.0.1:{taken.getsockname()[1]}/0"
