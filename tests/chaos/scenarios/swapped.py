"""A client overwrites its staged bytes while its job runs."""

from __future__ import annotations

from pathlib import Path

from chaos.book import Entry
from chaos.corpus import expecting
from chaos.crew import WORKSPACE
from chaos.ground import Ground
from chaos.scenario import Scenario
from chaos.scenarios.striking import armed_ground, wait_until_struck
from uploadmill.job import JobState

#: Before these the bytes are swapped. Up to ``pin`` that must be noticed; from there on the
#: pinned bytes are the job, and the swap is seen only where it starts over.
BEFORE_PIN = ("claim.before", "claim.after", "pin.before")
AFTER_PIN = ("pin.complete.before", "validate.before", "scan.before", "scan.after", "commit.before")

REJECTED = (JobState.REJECTED,)
EITHER = (JobState.STORED, JobState.REJECTED)


def swap(ground: Ground) -> None:
    """Between every pair of steps, with and without a kill that makes another node start over."""
    stop_for = 2 * ground.lease + 0.5
    armed = armed_ground(ground, stop_for)
    for node in ("a", "b"):
        root = ground.folder / f"node-{node}"
        if ground.short:
            ground.hire(1, environ={WORKSPACE: str(root)}, ready=False)
        else:
            ground.hire(2, concurrency=1, environ={WORKSPACE: str(root)})
    cases = [
        *((point, "", REJECTED) for point in BEFORE_PIN),
        *((point, then, EITHER) for point in AFTER_PIN for then in ("", "kill_group")),
    ]
    for number in range(ground.jobs):
        point, then, states = cases[number % len(cases)]
        upload = expecting(ground.corpus.text(), states)
        # Half of the new bytes are infected: they must never be seen.
        fresh = ground.corpus.infected() if number % 2 else ground.corpus.text()

        def arm(
            entry: Entry, point: str = point, then: str = then, content: bytes = fresh.content
        ) -> None:
            order = _order(ground.folder, entry, content)
            faults = [f"{point} swap {order}", *([f"{point} {then}"] if then else [])]
            armed.arm(entry.id, *faults)

        ground.submit(upload, arm)
        ground.book.fault("swap", f"{point} {then}")
        ground.tend()
    wait_until_struck(ground, armed)


def _order(folder: Path, entry: Entry, content: bytes) -> Path:
    orders = folder / "orders"
    orders.mkdir(exist_ok=True)
    target = folder / "staging" / entry.staged
    path = orders / entry.id
    path.write_bytes(str(target).encode() + b"\n" + content)
    return path


SWAPPED = Scenario("bytes_swapped", swap, jobs=(130, 13))
