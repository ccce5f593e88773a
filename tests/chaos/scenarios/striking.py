"""What scenarios share that strike at named points."""

from __future__ import annotations

import time

from chaos.ground import Ground
from chaos.points import Armed

#: Seconds, long and short, in which every fault must have struck: a job whose wake died with a
#: killed worker comes to its point only after a lease, a sweep, and another wake.
STRUCK_WITHIN = (300.0, 60.0)


def armed_ground(ground: Ground, stop_for: float = 0.0) -> Armed:
    """Faults for single jobs, in all workers hired from now on."""
    armed = Armed(ground.folder / "armed", stop_for)
    ground.faults["armed"] = {"folder": str(armed.folder), "stop_for": stop_for}
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
