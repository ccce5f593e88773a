"""A real worker in a real environment: Valkey, clamd, local stores, and a broker.

``BROKER=rabbitmq`` in the environment tells all stories on RabbitMQ. They know nothing of it.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, closing, contextmanager
from pathlib import Path

import pytest
from services.mill import PIPELINES, QUICK, Mill
from services.missing import missing

from uploadmill import Uploads
from uploadmill.wire import QUEUE
from uploadmill.worker.embedded.clamd import find_clamd
from uploadmill.worker.embedded.environment import Environment, embedded_environment

# These stories are told once more on RabbitMQ, by a module that imports them.
STORIES = ("test_faults", "test_twice", "test_uploads")
pytest.register_assert_rewrite(*(f"acceptance.{story}" for story in STORIES))

#: The broker of all stories: ``redis`` is the ledger's own, which needs no setting.
BROKER = os.environ.get("BROKER", "redis")

if BROKER not in ("redis", "rabbitmq"):
    raise pytest.UsageError(f"BROKER is redis or rabbitmq, not {BROKER}")

# A few of the stories once more on RabbitMQ: needless where all of them are told on it.
collect_ignore = ["test_rabbitmq.py", "test_rabbitmq_flower.py"] if BROKER == "rabbitmq" else []

Broker = Callable[[], Mapping[str, str]]
Servers = Callable[..., AbstractContextManager[Environment]]


def pytest_report_header() -> str:
    return f"broker: {BROKER}"


@pytest.fixture(scope="session")
def broker(request: pytest.FixtureRequest) -> Broker:
    """What settings say of the broker that was chosen; its queue is empty when they are asked."""
    if BROKER == "redis":
        return dict
    server = request.getfixturevalue("rabbitmq")

    def emptied() -> Mapping[str, str]:
        server.delete(QUEUE)
        return {"UPLOADMILL_BROKER_URL": server.url}

    return emptied


@pytest.fixture(scope="session")
def servers(tmp_path_factory: pytest.TempPathFactory, broker: Broker) -> Servers:
    """Start servers with empty stores and short times, without a worker, while a block lasts."""

    @contextmanager
    def started(*, scan: bool = True, **overrides: str) -> Iterator[Environment]:
        if scan and find_clamd() is None:
            missing("clamd", "apt-get install clamav-daemon")
        with embedded_environment(
            tmp_path_factory.mktemp("mill"),
            scan=scan,
            overrides={**QUICK, **broker(), **overrides},
            system_signatures=False,
            pipelines=PIPELINES,
        ) as environment:
            yield environment

    return started


@pytest.fixture
def environment(servers: Servers) -> Iterator[Environment]:
    """Servers of a test's own, so that it sees no other's jobs; that takes a fifth of a second."""
    with servers() as environment:
        yield environment


@pytest.fixture
def mill(environment: Environment, tmp_path: Path) -> Iterator[Mill]:
    """The environment with a producer; workers that the test started are gone after it."""
    (tmp_path / "faults").mkdir()
    before = len(environment.workers)
    with closing(Uploads(environment.settings)) as uploads:
        mill = Mill(environment, uploads, tmp_path / "faults")
        yield mill
        mill.kill(environment.workers[before:])
