"""Several workers on one ledger: what they refuse, and what they do by themselves."""

from __future__ import annotations

import os
import signal
import time

import pytest
import redis
from pictures import photograph
from services.mill import STEADY
from services.waiting import eventually

from uploadmill.errors import EmbeddedServerFailed
from uploadmill.job import JobState
from uploadmill.worker.roster import NODES


@pytest.fixture
def client(mill):
    with redis.Redis.from_url(mill.environment.settings.redis_url) as client:
        yield client


def test_a_worker_with_another_visibility_timeout_does_not_start(mill):
    mill.start()

    with pytest.raises(EmbeddedServerFailed) as refused:
        mill.environment.start_worker({"UPLOADMILL_WORKER__VISIBILITY_TIMEOUT": "7200"})

    assert "it ended with 1" in str(refused.value)
    said = mill.environment.worker_log.read_text()
    assert "worker.visibility_timeout is 7200 s here and 3600 s in another worker" in said
    assert "Traceback" not in said


def test_a_worker_says_that_its_node_is_there(mill, client):
    client.delete(NODES)
    mill.start()
    assert eventually(lambda: client.hlen(NODES) == 1)
    node = (mill.environment.folder / "workspace" / "node").read_text()
    assert [node.encode()] == client.hkeys(NODES)


def test_a_job_that_redis_forgets_beside_a_running_worker_is_finished(mill, client):
    worker = mill.start(faulty=True)
    assert eventually(lambda: b"reconciled " in worker.server.log.read_bytes())
    mill.arm("pause resize")
    job = mill.uploads.enqueue(photograph(400, 300), pipeline="photo")
    assert eventually(lambda: "resize" in mill.begun)

    client.flushall()

    assert JobState.STORED == mill.uploads.wait(job.id, timeout=40).state


def test_a_rolling_restart_under_load_gives_every_job_back_within_seconds(mill, client):
    # Given a worker in the middle of three jobs, with nine more in the queue
    first = mill.start(faulty=True, concurrency=3, extra=STEADY)
    mill.arm("hold resize", times=3)
    jobs = [mill.uploads.enqueue(photograph(400, 300), pipeline="photo") for _ in range(12)]
    assert eventually(lambda: mill.begun and 3 == mill.entered("resize"))
    assert 3 == len(held(client, jobs))

    # When it is told to stop
    os.kill(first.pid, signal.SIGTERM)
    assert eventually(lambda: b"shutdown" in first.server.log.read_bytes())
    mill.let_go()
    told = time.monotonic()

    # Then it gives all three back after the step that runs, not when their leases run out
    assert eventually(lambda: not held(client, jobs))
    assert time.monotonic() - told < 10
    assert first.server.log.read_text().count("job_released") >= 3
    assert eventually(lambda: not first.running, seconds=40)

    # And the next worker goes on where it stopped
    mill.forget()
    mill.start(faulty=True, concurrency=3, extra=STEADY)
    results = [mill.uploads.wait(job.id, timeout=60) for job in jobs]
    assert {JobState.STORED} == {result.state for result in results}
    assert 12 - 3 == mill.entered("pin")


def held(client, jobs) -> set[str]:
    """The jobs that somebody holds."""
    return {job.id for job in jobs if client.hget(f"um:job:{job.id}", "token")}
