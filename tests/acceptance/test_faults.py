"""What happens to a job when its worker is killed, hangs, is told to stop, or Redis forgets it."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path

import pytest
import redis
from pictures import photograph
from services.mill import STEADY, named_by
from services.waiting import eventually

from uploadmill.job import JobState
from uploadmill.pipeline import SHIPPED, Plan

STEPS = Plan.of("photo", SHIPPED["photo"]).names

#: Seconds in which a step must be ended: its limit of one second, and two.
TOO_LONG = 1.0 + 2.0

TRIES = 4


#: Files in the workspace or objects in primary that a step has made when it is half done.
HALF_DONE = {"pin": 1, "resize": 1, "optimize": 1, "commit": 1}


def made_by(mill, step: str) -> int:
    """What there is of a step's own files and of outputs."""
    jobs = mill.environment.folder / "workspace" / "jobs"
    return len([*jobs.glob(f"*/*/{step}-*"), *mill.files("primary")])


@pytest.mark.parametrize("step", STEPS)
def test_a_worker_killed_in_a_step_leaves_one_stored_result(mill, step):
    worker = mill.start(faulty=True)
    mill.arm(f"kill_worker amid {step}")
    job = mill.uploads.enqueue(photograph(400, 300), pipeline="photo")
    assert eventually(lambda: not worker.running)
    assert mill.struck
    assert list(STEPS[: STEPS.index(step) + 1]) == mill.begun
    assert HALF_DONE.get(step, 0) == made_by(mill, step)
    assert JobState.STORED != mill.uploads.status(job.id).state

    mill.forget()
    mill.start(faulty=True, extra=STEADY)
    result = mill.wait(job.id)

    assert JobState.STORED == result.state
    assert list(STEPS) == [receipt.step for receipt in result.receipts]
    assert named_by(result) == mill.files("primary")
    assert [] == mill.files("secondary")
    # Finished steps were not run again; the one that was killed was.
    assert list(STEPS[STEPS.index(step) :]) == mill.begun


def test_a_child_killed_in_a_step_is_replaced_and_the_job_stored(mill):
    worker = mill.start(faulty=True, app="services.hasty_app", extra=STEADY)
    mill.arm("kill_child resize")
    result = mill.run(photograph(400, 300))
    assert JobState.STORED == result.state
    assert worker.running
    assert 2 == mill.entered("resize")


def test_a_step_over_its_limit_is_ended_within_two_seconds(mill):
    # The pipeline "hasty" of this environment gives its resize step one second.
    worker = mill.start(faulty=True, extra=STEADY)
    took = []
    # A busy machine may stand still for a moment, but not each time.
    while len(took) < TRIES and min(took, default=TOO_LONG) >= TOO_LONG:
        mill.arm("sleep resize")
        job = mill.uploads.enqueue(photograph(400, 300), pipeline="hasty")
        assert JobState.STORED == mill.wait(job.id).state
        assert 2 == mill.entered("resize")
        took.append(ended_at(worker.server.log, job.id) - mill.first("resize"))
    assert min(took) < TOO_LONG


def ended_at(log: Path, job_id: str) -> float:
    """When a worker ended a step of this job that was over its limit."""
    (line,) = [
        line for line in log.read_text().splitlines() if f"step_timeout job={job_id}" in line
    ]
    return datetime.strptime(line[:23], "%Y-%m-%d %H:%M:%S.%f").timestamp()  # noqa: DTZ007 - local


def test_a_worker_told_to_stop_gives_the_job_back_after_the_step_that_runs(mill):
    worker = mill.start(faulty=True, extra=STEADY)
    mill.hold("resize")
    job = mill.uploads.enqueue(photograph(400, 300), pipeline="photo")
    assert eventually(lambda: mill.struck)
    mill.stop_in_mid_step(worker)
    assert eventually(lambda: not worker.running)

    assert "resize" == mill.begun[-1]
    status = mill.uploads.status(job.id)
    assert (JobState.ACCEPTED, "optimize") == (status.state, status.step)

    mill.start(faulty=True, extra=STEADY)
    assert JobState.STORED == mill.wait(job.id).state
    assert list(STEPS) == mill.begun


def test_a_job_that_redis_forgot_is_finished_after_a_restart(mill):
    job = mill.uploads.enqueue(photograph(400, 300), pipeline="photo")
    with redis.Redis.from_url(mill.environment.settings.redis_url) as client:
        client.flushall()
    assert JobState.ACCEPTED == mill.uploads.status(job.id).state

    mill.start()

    result = mill.wait(job.id)
    assert JobState.STORED == result.state
    assert named_by(result) == mill.files("primary")
    assert [] == mill.files("secondary")


def test_a_cancelled_job_is_not_run(mill):
    job = mill.uploads.enqueue(photograph(400, 300), pipeline="photo")
    assert JobState.CANCELLED == mill.uploads.cancel(job.id).state
    mill.start(faulty=True, extra=STEADY)
    other = mill.run(photograph(400, 300))
    assert JobState.STORED == other.state
    assert list(STEPS) == mill.begun
    assert JobState.CANCELLED == mill.uploads.status(job.id).state
    assert [] == [key for key in mill.files("primary") if job.id in key]
