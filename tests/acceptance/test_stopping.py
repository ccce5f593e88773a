"""A worker shows that it lives, and stops in bounded time whatever its steps do."""

from __future__ import annotations

import os
import signal
import time

from pictures import photograph
from services.mill import STEADY, TESTS
from services.waiting import eventually

from uploadmill.job import JobState


def test_a_step_that_outlives_the_drain_limit_is_given_back_uncounted(mill, tmp_path):
    # Given a worker that may drain for one second, and a step that takes a minute
    alive = tmp_path / "alive"
    worker = mill.environment.start_worker(
        {
            "PYTHONPATH": str(TESTS),
            "FAULT_FOLDER": str(mill.faults),
            "UPLOADMILL_WORKER__DRAIN": "1",
            "UPLOADMILL_WORKER__LIVENESS_FILE": str(alive),
        },
        concurrency=1,
        app="services.faulty_app",
    )
    mill.arm("sleep resize")
    job = mill.uploads.enqueue(photograph(400, 300), pipeline="photo")
    assert eventually(lambda: "resize" in mill.begun)

    # Then its liveness file is touched while it works
    assert eventually(alive.exists)
    seen = alive.stat().st_mtime
    assert eventually(lambda: alive.stat().st_mtime > seen)

    # When it is told to stop
    began = time.monotonic()
    os.kill(worker.pid, signal.SIGTERM)
    assert eventually(lambda: not worker.running)

    # Then it ends soon after its limit, long before the step, and the job may go on at once
    assert time.monotonic() - began >= 1.0
    status = mill.uploads.status(job.id)
    assert (JobState.ACCEPTED, "resize") == (status.state, status.step)
    assert b"step_raised" not in worker.server.log.read_bytes()

    # And another worker takes it up where it was
    mill.forget()
    mill.start(faulty=True, extra=STEADY)
    assert JobState.STORED == mill.wait(job.id).state
    assert ["resize", "optimize", "commit"] == mill.begun
