"""Files that kill or hang the decoder, among good ones."""

from __future__ import annotations

from chaos.corpus import Upload
from chaos.ground import Ground
from chaos.poison import HANGS, KILLS
from chaos.scenario import Scenario
from uploadmill.job import JobState


def poison(ground: Ground) -> None:
    """One file in fifty is poison; it ends as failed, and every good one is stored."""
    ground.hire_few()
    count = max(4, ground.jobs // 50)
    uploads = list(ground.corpus.mixed(ground.jobs))
    for number in range(count):
        place = ground.random.randrange(len(uploads))
        uploads.insert(place, _poison(HANGS if number % 4 == 0 else KILLS, number))
        ground.book.fault("poison")
    with ground.submitting(uploads, pause=0.01):
        ground.pause(3)


def _poison(line: bytes, number: int) -> Upload:
    return Upload(line + f"{number}\n".encode() * 5, "note", frozenset([JobState.FAILED]))


POISON = Scenario(
    "poison",
    poison,
    jobs=(1000, 60),
    faults={"poison": True},
    short_settings={
        "UPLOADMILL_LEDGER__CRASH_MAX": "2",
        "UPLOADMILL_LEDGER__ATTEMPTS_MAX": "2",
    },
    pipelines={
        "note": {
            "steps": [{"step": "validate", "types": ["text/plain"], "time_limit": 2}, "scan"],
        }
    },
)
