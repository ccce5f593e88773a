"""A child that Celery kills for taking too long is reported like one that died by itself."""

from __future__ import annotations

import redis
from pictures import photograph
from services.mill import STEADY, TESTS
from services.waiting import eventually

from uploadmill.backends.ledger.names import JOB
from uploadmill.job import JobState

#: Seconds that a whole job may take; its second run needs a third of one on an idle machine.
LIMIT = 6


def test_a_job_beyond_the_hard_limit_goes_on_and_the_crash_is_counted(mill):
    # Given a worker with a hard time limit, and a step that never ends
    extra = {
        "PYTHONPATH": str(TESTS),
        "FAULT_FOLDER": str(mill.faults),
        "HARD_LIMIT": str(LIMIT),
        **STEADY,  # nothing here can wait for the lease to run out
    }
    worker = mill.environment.start_worker(extra, concurrency=1, app="services.impatient_app")
    mill.arm("sleep resize")

    # When a job comes to it
    job = mill.uploads.enqueue(photograph(400, 300), pipeline="photo")

    # Then Celery ends the child, the worker reports that, and the job goes on
    url = mill.environment.settings.redis_url
    with redis.Redis.from_url(url, decode_responses=True) as client:
        assert eventually(lambda: client.hexists(JOB + job.id, "cause:resize"))
        assert "1" == client.hget(JOB + job.id, "crash:resize")
        assert "hard time limit of 6 s" in client.hget(JOB + job.id, "cause:resize")
    assert JobState.STORED == mill.wait(job.id).state
    assert 2 == mill.entered("resize")
    assert worker.running
