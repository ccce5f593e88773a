"""What scenarios share that strike at named points."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable

from chaos.armed import Armed
from chaos.ground import TESTS, Ground
from uploadmill.wire import ENVELOPES

#: Seconds, long and short, in which every fault must have struck: a job whose wake died with a
#: killed worker comes to its point only after a lease, a sweep, and another wake.
STRUCK_WITHIN = (300.0, 180.0)

#: Leases after a job's end in which whoever stood still at one of its points has gone on.
OVER_AFTER = 4

#: Seconds for one command, or for a few jobs: many times what a busy machine needs.
PATIENCE = 240.0


def armed_ground(ground: Ground, stop_for: float = 0.0) -> Armed:
    """Faults for single jobs, in all workers hired from now on."""
    armed = Armed(ground.folder / "armed", stop_for)
    ground.faults["armed"] = armed.options
    return armed


def wait_until_struck(
    ground: Ground, armed: Armed, again: Callable[[str], object] | None = None
) -> None:
    """A fault that nobody comes to is one of the harness, and counts as wrong.

    Args:
        again: Tries a fault on another job: a worker that is killed for one job may take another
            along that had just ended, and reconcile then does the rest.
    """
    end = time.monotonic() + STRUCK_WITHIN[ground.short]
    while time.monotonic() < end:
        if not armed.left:
            return
        for job_id, fault in armed.left.items() if again else ():
            if _is_over(ground, job_id) and armed.disarm(job_id):
                ground.book.note(f"{fault} was not reached by {job_id}")
                again(fault)
        ground.pause(0.1)
    for job_id, fault in armed.left.items():
        ground.book.first(ground.book.wrong, fault, f"never reached by {job_id}")


def _is_over(ground: Ground, job_id: str) -> bool:
    """Whether nobody works on it any more, nor stands still over it."""
    ended = ground.book.entries[job_id].ended
    if ended is None or time.monotonic() - ended < OVER_AFTER * ground.lease:
        return False
    return not ground.shelves["staging"].states(f"{ENVELOPES}{job_id}.json")


def dying(ground: Ground, armed: Armed) -> dict[str, str]:
    """The variables of a process that dies where a job is armed."""
    options = {"CHAOS_ARMED": json.dumps(armed.options), "PYTHONPATH": str(TESTS)}
    return {**os.environ, **ground.environment.environ, **options}
