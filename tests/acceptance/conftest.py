"""A real worker in a real environment: Valkey, clamd, local stores."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from services.mill import PIPELINES, QUICK, Mill
from services.missing import missing

from uploadmill import Uploads
from uploadmill.worker.embedded.clamd import find_clamd
from uploadmill.worker.embedded.environment import Environment, Worker, embedded_environment

# These stories are told once more on RabbitMQ, by a module that imports them.
pytest.register_assert_rewrite("acceptance.test_faults", "acceptance.test_uploads")


@pytest.fixture(scope="session")
def environment(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Environment]:
    """Servers for all acceptance tests, without a worker."""
    if find_clamd() is None:
        missing("clamd", "apt-get install clamav-daemon")
    folder = tmp_path_factory.mktemp("mill")
    with embedded_environment(
        folder, scan=True, overrides=QUICK, system_signatures=False, pipelines=PIPELINES
    ) as environment:
        yield environment


@pytest.fixture
def mill(environment: Environment, tmp_path: Path) -> Iterator[Mill]:
    """The environment with a producer; workers that the test started are stopped after it."""
    with ExitStack() as stack:
        uploads = Uploads(environment.settings)
        stack.callback(uploads.close)
        before = len(environment.workers)
        stack.callback(lambda: [worker.stop() for worker in environment.workers[before:]])
        faults = tmp_path / "faults"
        faults.mkdir()
        yield Mill(environment, uploads, faults)


@pytest.fixture(scope="module")
def working(environment: Environment) -> Iterator[Worker]:
    """A worker for a module of tests that leave it alive."""
    worker = environment.start_worker(concurrency=2)
    yield worker
    worker.stop()
