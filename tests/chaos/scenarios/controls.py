"""The harness must find what it looks for: two runs without a rule that prevents it."""

from __future__ import annotations

from chaos.ground import Ground
from chaos.scenario import Scenario
from chaos.scenarios.striking import armed_ground


def lose(ground: Ground) -> None:
    """Workers are killed, and nobody looks for what they left."""
    crew = ground.hire(2)
    with ground.submitting(list(ground.corpus.mixed(ground.jobs)), pause=0.02):
        for _ in range(4):
            ground.pause(0.8)
            ground.kill_group(ground.random.choice(crew))


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
