"""Uploads to S3 are broken off after a part; a collection leaves nothing of them."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Mapping

from chaos.armed import Armed
from chaos.ground import Ground
from chaos.parts import COMMITTED, LARGE, STAGED
from chaos.scenario import Scenario
from chaos.scenarios.producing import known_before, produce
from chaos.scenarios.striking import PATIENCE, armed_ground, dying, wait_until_struck

#: Seconds after which a collection takes what was broken off.
GRACE = 1.0

#: The part of all jobs whose producer dies, too.
PRODUCERS = 1 / 3


def break_off(ground: Ground) -> None:
    """Children die while they commit, producers while they stage; then all is collected."""
    armed = armed_ground(ground)
    ground.faults["parts"] = ground.faults["armed"]
    ground.hire_few()
    for _ in range(ground.jobs):
        upload = ground.corpus.large(LARGE)
        ground.submit(upload, lambda entry: armed.arm(entry.id, f"{COMMITTED} kill_child"))
        ground.book.fault("kill_child", COMMITTED)
    _strike_producers(ground, armed, max(1, round(ground.jobs * PRODUCERS)))
    wait_until_struck(ground, armed)
    ground.wait_until_ended(PATIENCE)
    left = sum(len(shelf.parts()) for shelf in ground.shelves.values())
    ground.book.measured["uploads that were broken off"] = left
    if left < ground.jobs:
        ground.book.first(ground.book.wrong, "parts", f"only {left} uploads were broken off")
    ground.pause(2 * GRACE)
    collect(dying(ground, armed), GRACE)


def _strike_producers(ground: Ground, armed: Armed, count: int) -> None:
    """They never come back: of their jobs nothing but parts was ever there."""
    started = []
    for number in range(count):
        upload, key = ground.corpus.large(LARGE), f"broken-off-{number}"
        entry = known_before(ground, upload, key)
        armed.arm(entry.id, f"{STAGED} kill_child")
        ground.book.fault("kill_producer", STAGED)
        started.append(produce(ground, armed, entry, key))
    for process in started:
        process.wait(PATIENCE)


def collect(environ: Mapping[str, str], grace: float) -> None:
    """Run ``uploadmill gc --delete`` for things that are *grace* seconds old."""
    ages = {
        "UPLOADMILL_LEDGER__STAGE_FRESH": f"{grace / 2:g}",
        "UPLOADMILL_LEDGER__STAGE_GRACE": f"{grace:g}",
    }
    command = [sys.executable, "-m", "uploadmill.worker.cli", "gc", "--delete"]
    subprocess.run(
        command, env={**environ, **ages}, check=True, timeout=PATIENCE, stdout=subprocess.DEVNULL
    )


BROKEN_OFF = Scenario("broken_off", break_off, jobs=(30, 3), on_s3=("staging", "primary"))
