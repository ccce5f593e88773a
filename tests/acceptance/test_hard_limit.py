"""A child that Celery kills for taking too long is reported like one that died by itself."""

from __future__ import annotations

import redis
from pictures import photograph
from services.mill import TESTS
from services.waiting import eventually

from uploadmill.backends.ledger.ledger import JOB
from uploadmill.job import JobState

#: Seconds: the time limit of a whole job, and a lease that nothing here waits for.
LIMIT, LEASE = 3, 60


def test_a_job_beyond_the_hard_limit_goes_on_and_the_crash_is_counted(mill):
    # Given a worker with a hard time limit, and a step that never ends
    extra = {
        "PYTHONPATH": str(TESTS),
        "FAULT_FOLDER": str(mill.faults),
        "HARD_LIMIT": str(LIMIT),
        "UPLOADMILL_LEDGER__LEASE": str(LEASE),
    }
    worker = mill.environment.start_worker(extra, concurrency=1, app="services.impatient_app")
    mill.arm("hold resize")

    # When a job comes to it
    job = mill.uploads.enqueue(photograph(400, 300), pipeline="photo")

    # Then Celery ends the child, the worker reports that, and the job goes on
    url = mill.environment.settings.redis_url
    with redis.Redis.from_url(url, decode_responses=True) as client:
        assert eventually(lambda: client.hexists(JOB + job.id, "cause:resize"), 30)
        assert "1" == client.hget(JOB + job.id, "crash:resize")
        assert "hard time limit of 3 s" in client.hget(JOB + job.id, "cause:resize")
    assert JobState.STORED == mill.uploads.wait(job.id, timeout=30).state
    assert 2 == mill.entered("resize")
    assert worker.running
