"""What scenarios share that strike at named points."""

from __future__ import annotations

import json
import os
import time

from chaos.armed import Armed
from chaos.ground import TESTS, Ground

#: Seconds, long and short, in which every fault must have struck: a job whose wake died with a
#: killed worker comes to its point only after a lease, a sweep, and another wake.
STRUCK_WITHIN = (300.0, 180.0)

#: Seconds for one command, or for a few jobs: many times what a busy machine needs.
PATIENCE = 240.0


def armed_ground(ground: Ground, stop_for: float = 0.0) -> Armed:
    """Faults for single jobs, in all workers hired from now on."""
    armed = Armed(ground.folder / "armed", stop_for)
    ground.faults["armed"] = armed.options
    return armed


def wait_until_struck(ground: Ground, armed: Armed) -> None:
    """A fault that nobody comes to is one of the harness, and counts as wrong."""
    end = time.monotonic() + STRUCK_WITHIN[ground.short]
    while time.monotonic() < end:
        if not armed.left:
            return
        ground.pause(0.1)
    for job_id, fault in armed.left.items():
        ground.book.first(ground.book.wrong, fault, f"never reached by {job_id}")


def dying(ground: Ground, armed: Armed) -> dict[str, str]:
    """The variables of a process that dies where a job is armed."""
    options = {"CHAOS_ARMED": json.dumps(armed.options), "PYTHONPATH": str(TESTS)}
    return {**os.environ, **ground.environment.environ, **options}
