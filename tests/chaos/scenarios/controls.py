"""The harness must find what it looks for: two runs without a rule that prevents it."""

from __future__ import annotations

from chaos.ground import Ground
from chaos.scenario import Scenario
from chaos.scenarios.striking import armed_ground

#: So many jobs take their worker with them.
DEADLY = 4


def lose(ground: Ground) -> None:
    """Workers are killed at work, and nobody looks for what they left."""
    armed = armed_ground(ground)
    ground.hire(2)
    for number, upload in enumerate(ground.corpus.mixed(ground.jobs)):
        fault = [] if number % (ground.jobs // DEADLY) else ["pin.complete.after kill_group"]
        ground.submit(upload, lambda e, f=fault: armed.arm(e.id, *f) if f else None)
        ground.tend()
    # The first is sure to be reached; of the others a killed worker may have had the message.
    while not armed.struck:
        ground.pause(0.1)
    ground.pause(ground.lease)
    ground.book.faults["kill_group"] += len(armed.struck)


SWEEPER_OFF = Scenario(
    "sweeper_off", lose, jobs=(200, 60), faults={"without": ["sweeper"]}, drain=(60.0, 20.0)
)


def double(ground: Ground) -> None:
    """Workers stand still before they decide, lose their lease, and go on."""
    stop_for = 2 * ground.lease + 0.5
    armed = armed_ground(ground, stop_for)
    ground.hire(2, concurrency=3)
    for number in range(ground.jobs):
        # Every other job stands still, as long as two of the workers' six children are free.
        faults = ["outcome.before stop"] if number % 2 and number < 8 else []
        ground.submit(ground.corpus.text(), lambda e, f=faults: armed.arm(e.id, *f) if f else None)
        ground.book.faults["stop"] += len(faults)
    ground.pause(stop_for + ground.lease)


OUTCOME_OFF = Scenario(
    "outcome_off", double, jobs=(40, 10), faults={"without": ["outcome"]}, drain=(60.0, 10.0)
)
