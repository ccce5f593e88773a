"""What happens to a job when its worker is killed, hangs, is told to stop, or Redis forgets it."""

from __future__ import annotations

import os
import signal
import time

import pytest
import redis
from pictures import photograph
from services.waiting import eventually

from uploadmill.job import JobState
from uploadmill.pipeline import SHIPPED, Plan

STEPS = Plan.of("photo", SHIPPED["photo"]).names


def stored_once(mill, job_id: str) -> bool:
    results = [key for key in mill.files("primary") if key == f"{job_id}/result.json"]
    return 1 == len(results) and [] == [key for key in mill.files("secondary") if job_id in key]


@pytest.mark.parametrize("step", STEPS)
def test_a_worker_killed_in_a_step_leaves_one_stored_result(mill, step):
    worker = mill.start(faulty=True)
    mill.arm(f"kill_worker {step}")
    job = mill.uploads.enqueue(photograph(400, 300), pipeline="photo")
    assert eventually(lambda: not worker.running)
    assert list(STEPS[: STEPS.index(step) + 1]) == mill.begun
    assert JobState.STORED != mill.uploads.status(job.id).state

    mill.forget()
    mill.start(faulty=True)
    result = mill.uploads.wait(job.id, timeout=20)

    assert JobState.STORED == result.state
    assert list(STEPS) == [receipt.step for receipt in result.receipts]
    assert stored_once(mill, job.id)
    # Finished steps were not run again; the one that was killed was.
    assert list(STEPS[STEPS.index(step) :]) == mill.begun


def test_a_child_killed_in_a_step_is_replaced_and_the_job_stored(mill):
    worker = mill.start(faulty=True)
    mill.arm("kill_child resize")
    result = mill.run(photograph(400, 300))
    assert JobState.STORED == result.state
    assert worker.running
    assert 2 == mill.entered("resize")


def test_a_step_over_its_limit_is_ended_within_two_seconds(mill):
    # The pipeline "hasty" of this environment gives its resize step one second.
    worker = mill.start(faulty=True)
    mill.arm("sleep resize")
    job = mill.uploads.enqueue(photograph(400, 300), pipeline="hasty")
    assert eventually(lambda: "resize" in mill.begun)
    began = time.monotonic()
    assert eventually(lambda: b"step_timeout" in worker.server.log.read_bytes())
    assert time.monotonic() - began < 1.0 + 2.0
    result = mill.uploads.wait(job.id, timeout=20)
    assert JobState.STORED == result.state
    assert 2 == mill.entered("resize")


def test_a_worker_told_to_stop_gives_the_job_back_after_the_step_that_runs(mill):
    worker = mill.start(faulty=True)
    mill.arm("pause resize")
    job = mill.uploads.enqueue(photograph(400, 300), pipeline="photo")
    assert eventually(lambda: "resize" in mill.begun)
    os.kill(worker.pid, signal.SIGTERM)
    assert eventually(lambda: not worker.running)

    assert "resize" == mill.begun[-1]
    status = mill.uploads.status(job.id)
    assert (JobState.ACCEPTED, "optimize") == (status.state, status.step)

    mill.start(faulty=True)
    assert JobState.STORED == mill.uploads.wait(job.id, timeout=20).state
    assert list(STEPS) == mill.begun


def test_a_job_that_redis_forgot_is_finished_after_a_restart(mill):
    job = mill.uploads.enqueue(photograph(400, 300), pipeline="photo")
    with redis.Redis.from_url(mill.environment.settings.redis_url) as client:
        client.flushall()
    assert JobState.ACCEPTED == mill.uploads.status(job.id).state

    mill.start()

    assert JobState.STORED == mill.uploads.wait(job.id, timeout=20).state
    assert stored_once(mill, job.id)


def test_a_cancelled_job_is_not_run(mill):
    job = mill.uploads.enqueue(photograph(400, 300), pipeline="photo")
    assert JobState.CANCELLED == mill.uploads.cancel(job.id).state
    mill.arm("pause commit")
    mill.start(faulty=True)
    other = mill.run(photograph(400, 300))
    assert JobState.STORED == other.state
    assert list(STEPS) == mill.begun
    assert JobState.CANCELLED == mill.uploads.status(job.id).state
    assert [] == [key for key in mill.files("primary") if job.id in key]
