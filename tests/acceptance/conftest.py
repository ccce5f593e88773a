"""A real worker in a real environment: Valkey, clamd, local stores."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, closing, contextmanager
from pathlib import Path

import pytest
from services.mill import PIPELINES, QUICK, Mill
from services.missing import missing

from uploadmill import Uploads
from uploadmill.worker.embedded.clamd import find_clamd
from uploadmill.worker.embedded.environment import Environment, embedded_environment

# These stories are told once more on RabbitMQ, by a module that imports them.
pytest.register_assert_rewrite("acceptance.test_faults", "acceptance.test_uploads")

Servers = Callable[..., AbstractContextManager[Environment]]


@pytest.fixture(scope="session")
def servers(tmp_path_factory: pytest.TempPathFactory) -> Servers:
    """Start servers with empty stores and short times, without a worker, while a block lasts."""
    if find_clamd() is None:
        missing("clamd", "apt-get install clamav-daemon")

    @contextmanager
    def started(**overrides: str) -> Iterator[Environment]:
        with embedded_environment(
            tmp_path_factory.mktemp("mill"),
            scan=True,
            overrides={**QUICK, **overrides},
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
