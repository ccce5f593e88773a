"""What is so only where Redis is the broker, whatever broker the other stories are told on.

RabbitMQ gives a message back when the connection of its worker is gone: it has no visibility
timeout that workers would have to agree on.
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from uploadmill.errors import EmbeddedServerFailed
from uploadmill.worker.embedded.environment import Environment


@pytest.fixture
def environment(servers) -> Iterator[Environment]:
    with servers(UPLOADMILL_BROKER_URL="") as environment:
        yield environment


def test_a_worker_with_another_visibility_timeout_does_not_start(mill):
    mill.start()

    with pytest.raises(EmbeddedServerFailed) as refused:
        mill.environment.start_worker({"UPLOADMILL_WORKER__VISIBILITY_TIMEOUT": "7200"})

    assert "it ended with 1" in str(refused.value)
    said = mill.environment.worker_log.read_text()
    assert "worker.visibility_timeout is 7200 s here and 3600 s in another worker" in said
    assert "Traceback" not in said
