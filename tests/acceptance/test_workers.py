"""Several workers on one ledger: what they do by themselves."""

from __future__ import annotations

import pytest
import redis
from pictures import photograph
from services.waiting import eventually

from uploadmill.job import JobState
from uploadmill.worker.roster import NODES


@pytest.fixture
def client(mill):
    with redis.Redis.from_url(mill.environment.settings.redis_url) as client:
        yield client


def test_a_worker_says_that_its_node_is_there(mill, client):
    client.delete(NODES)
    mill.start()
    assert eventually(lambda: client.hlen(NODES) == 1)
    node = (mill.environment.folder / "workspace" / "node").read_text()
    assert [node.encode()] == client.hkeys(NODES)


def test_a_job_that_redis_forgets_beside_a_running_worker_is_finished(mill, client):
    worker = mill.start(faulty=True, extra={"UPLOADMILL_LEDGER__RECONCILE": "3"})
    assert eventually(lambda: b"reconciled " in worker.server.log.read_bytes())
    mill.hold("resize")
    job = mill.uploads.enqueue(photograph(400, 300), pipeline="photo")
    assert eventually(lambda: mill.struck)

    client.flushall()
    mill.let_go()

    assert JobState.STORED == mill.wait(job.id).state
