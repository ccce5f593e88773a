"""What is so only where Redis is the broker, whatever broker the other stories are told on.

RabbitMQ gives a message back when the connection of its worker is gone: it has no visibility
timeout that workers would have to agree on.
"""

from __future__ import annotations

from collections.abc import Iterator
from urllib.parse import urlsplit

import pytest
from services.proxy import proxy
from services.waiting import PATIENCE, eventually

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


def test_one_that_was_started_while_redis_was_out_leaves_when_it_is_back(mill):
    # Given a worker, and another one that does not reach Redis, with another timeout
    first = mill.start()
    with proxy(urlsplit(mill.environment.settings.redis_url).port) as between:
        between.refusing = True
        other = {
            "UPLOADMILL_REDIS_URL": f"redis://127.0.0.1:{between.port}/0",
            "UPLOADMILL_WORKER__VISIBILITY_TIMEOUT": "7200",
        }
        second = mill.environment.start_worker(other, concurrency=1, ready=False)
        assert eventually(lambda: b"not_agreed" in second.server.log.read_bytes())
        assert second.running

        # When Redis is back
        between.refusing = False

        # Then it says what is wrong, once, and ends by itself
        with pytest.raises(EmbeddedServerFailed) as ended:
            second.server.wait_ready(lambda: False, PATIENCE)
    assert "it ended with 1" in str(ended.value)
    said = second.server.log.read_text()
    assert 1 == said.count("disagreed")
    assert "worker.visibility_timeout is 7200 s here and 3600 s in another worker" in said
    assert "Traceback" not in said
    assert first.running
