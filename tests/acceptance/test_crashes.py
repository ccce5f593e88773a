"""A child that dies at work: its job waits seconds, counts the crash, and harms no other."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest
import redis
from celery import Celery
from pictures import photograph
from services.mill import STEADY, TESTS
from services.waiting import eventually

from uploadmill.backends.ledger.names import JOB
from uploadmill.job import JobState


@pytest.fixture
def start(mill):
    """Start a worker whose leases are long."""

    def start(concurrency: int = 1, **environ: str):
        extra = {
            "PYTHONPATH": str(TESTS),
            "FAULT_FOLDER": str(mill.faults),
            **STEADY,  # nothing in these tests can wait for it to run out
            **environ,
        }
        return mill.environment.start_worker(
            extra, concurrency=concurrency, app="services.hasty_app"
        )

    return start


@pytest.fixture
def record(mill):
    """Look into a job's record."""
    client = redis.Redis.from_url(mill.environment.settings.redis_url, decode_responses=True)
    with client:
        yield lambda job_id: client.hgetall(JOB + job_id)


def test_a_killed_childs_job_goes_on_long_before_its_lease_is_over(mill, start, record):
    worker = start()
    mill.arm("kill_child resize")

    job = mill.uploads.enqueue(photograph(400, 300), pipeline="photo")

    assert eventually(lambda: "1" == record(job.id).get("crash:resize"))
    assert JobState.STORED == mill.wait(job.id).state
    assert worker.running
    assert 2 == mill.entered("resize")


def test_a_step_that_always_kills_its_child_is_poison_and_says_how_it_died(mill, start):
    start()
    mill.arm("kill_child resize", times=9)

    result = mill.run(photograph(400, 300))

    assert (JobState.FAILED, "poison") == (result.state, result.error.code)
    assert 3 == mill.entered("resize")
    assert "signal 9 (SIGKILL)" in result.error.message
    assert " MB" in result.error.message


def test_a_childs_memory_is_told_when_it_is_what_was_most(mill, start, record):
    start()
    mill.arm("devour resize")

    job = mill.uploads.enqueue(photograph(400, 300), pipeline="photo")

    assert eventually(lambda: "cause:resize" in record(job.id))
    (told,) = [word for word in record(job.id)["cause:resize"].split() if word.isdigit()][-1:]
    assert 300 <= int(told) <= 600
    assert JobState.STORED == mill.wait(job.id).state


def test_a_step_that_is_over_its_limit_counts_once_as_an_attempt_and_not_as_a_crash(
    mill, start, record
):
    start()
    mill.arm("sleep resize")
    job = mill.uploads.enqueue(photograph(400, 300), pipeline="hasty")

    assert eventually(lambda: "1" == record(job.id).get("attempts:resize"))
    assert eventually(lambda: b"child_died" in mill.environment.worker_log.read_bytes())
    assert "crash:resize" not in record(job.id)
    assert JobState.STORED == mill.wait(job.id).state


def test_a_child_beside_the_one_that_died_works_on(mill, start, record):
    worker = start(concurrency=2)
    mill.hold("resize")
    sibling = mill.uploads.enqueue(photograph(400, 300), pipeline="photo")
    assert eventually(lambda: mill.struck)
    before = record(sibling.id)

    mill.arm("kill_child validate")
    doomed = mill.uploads.enqueue(photograph(300, 400), pipeline="photo")
    assert JobState.STORED == mill.wait(doomed.id).state

    assert before["token"] == record(sibling.id)["token"]
    assert [] == [name for name in record(sibling.id) if name.startswith("crash:")]
    worker.stop(signal.SIGKILL)
    mill.uploads.cancel(sibling.id)


def test_a_whole_worker_that_dies_reports_nothing(mill, start, record):
    worker = start()
    mill.arm("kill_worker resize")
    job = mill.uploads.enqueue(photograph(400, 300), pipeline="photo")
    assert eventually(lambda: not worker.running)
    assert "crash:resize" not in record(job.id)
    with redis.Redis.from_url(mill.environment.settings.redis_url) as client:
        client.hset(JOB + job.id, "lease_until", 0)
        client.zadd("um:open", {job.id: 0})
    start()
    assert JobState.STORED == mill.wait(job.id).state


def test_a_child_killed_while_it_holds_no_job_is_nobodys_crash(mill, start):
    worker = start()
    mill.run(photograph(400, 300))
    assert eventually(lambda: idle(mill))
    before = pool(worker.pid)
    os.kill(before[0], signal.SIGKILL)
    assert eventually(lambda: 1 == len(pool(worker.pid)) and before != pool(worker.pid))
    assert JobState.STORED == mill.run(photograph(400, 300)).state
    assert b"child_died" not in worker.server.log.read_bytes()


def idle(mill) -> bool:
    """Whether the worker says that it has no job in hand."""
    with Celery(broker=mill.environment.settings.broker_url, set_as_current=False) as app:
        answers = app.control.inspect(timeout=1).active() or {}
    return [[]] == list(answers.values())


def pool(pid: int) -> list[int]:
    """The processes of a worker's pool: its children that run its own command line."""
    listed = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    return [int(child) for child in listed if _command(child) == _command(str(pid))]


def _command(pid: str) -> str:
    try:
        return Path(f"/proc/{pid}/cmdline").read_text()
    except OSError:
        return ""
