"""Healers are killed after each of their actions; what failed over comes home all the same."""

from __future__ import annotations

import subprocess
import sys

from chaos.armed import Armed
from chaos.book import Entry
from chaos.ground import Ground
from chaos.healing_points import POINTS
from chaos.scenario import Scenario
from chaos.scenarios.outages import away
from chaos.scenarios.striking import PATIENCE, armed_ground, dying
from uploadmill.backends.ledger.names import HEAL

HEALER = [sys.executable, "-m", "chaos.dying_command", "heal"]

#: Points that the short form draws.
SHORT_KILLS = 2

#: Without a grace, and none by a worker: who is to die must be the one who heals.
SETTINGS = {"UPLOADMILL_LEDGER__HEAL_GRACE": "0", "UPLOADMILL_HEAL__EVERY": "3600"}


def heal(ground: Ground) -> None:
    """One healer after another dies; then two at once come to the end."""
    armed = armed_ground(ground)
    entries = _failed_over(ground)
    points = ground.random.sample(POINTS, SHORT_KILLS) if ground.short else POINTS
    for entry, point in zip(entries, points, strict=False):
        armed.arm(entry.id, f"{point} kill_child")
        ground.book.fault("kill_healer", point)
    for _ in points:
        _start(ground, armed).wait(PATIENCE)
        _let_time_pass(ground)
    for process in [_start(ground, armed), _start(ground, armed)]:
        if process.wait(PATIENCE):
            ground.book.first(ground.book.wrong, "heal", f"it ended with {process.returncode}")
    _let_time_pass(ground)
    _start(ground, armed).wait(PATIENCE)
    for job_id, fault in armed.left.items():
        ground.book.first(ground.book.wrong, fault, f"never reached by {job_id}")
    all_home(ground)


def all_home(ground: Ground) -> None:
    """Nothing is left on the secondary, nor to be healed."""
    left = list(ground.shelves["secondary"].states())
    with ground.redis() as client:
        left += client.zrange(HEAL, 0, -1)
    if left:
        what = f"{len(left)} left, such as {left[:3]}"
        ground.book.first(ground.book.wrong, "secondary", what)


def _failed_over(ground: Ground) -> list[Entry]:
    """Jobs that were stored while the primary was away."""
    ground.hire_few()
    uploads = [
        # Those come first that healers die at: between the outputs of one job, too.
        ground.corpus.picture() if number < len(POINTS) else ground.corpus.good()
        for number in range(ground.jobs)
    ]
    with away(ground, "primary"):
        entries = [ground.submit(upload) for upload in uploads]
        ground.wait_until_ended(PATIENCE)
    return entries


def _start(ground: Ground, armed: Armed) -> subprocess.Popen[bytes]:
    return subprocess.Popen(HEALER, env=dying(ground, armed), stdout=subprocess.DEVNULL)


def _let_time_pass(ground: Ground) -> None:
    """The minute is over for which a dead healer's job was its own."""
    with ground.redis() as client:
        for job_id in client.zrange(HEAL, 0, -1):
            client.zadd(HEAL, {job_id: 0}, xx=True)


HEALING = Scenario("healing", heal, jobs=(60, 6), settings=SETTINGS)


def leave(ground: Ground) -> None:
    """Jobs fail over, and nobody heals."""
    _failed_over(ground)
    ground.book.fault("nobody_heals")
    all_home(ground)


HEAL_OFF = Scenario("heal_off", leave, jobs=(10, 2), settings=SETTINGS)
