"""Workers and children are killed, at any moment and at every named point."""

from __future__ import annotations

import itertools
import subprocess
import sys
import time
from collections.abc import Iterator

from chaos.armed import Armed
from chaos.corpus import Upload
from chaos.ground import Ground
from chaos.points import (
    ACTIONS,
    PRODUCER_POINTS,
    RECONCILE_POINTS,
    REPLY_POINTS,
    WORKER_POINTS,
)
from chaos.scenario import Scenario
from chaos.scenarios.producing import known_before, produce
from chaos.scenarios.striking import PATIENCE, armed_ground, dying, wait_until_struck

#: Of a hundred kills so many hit a whole worker with its children, so many its main process.
GROUPS_OF_100 = 60
MAINS_OF_100 = 20

#: At so many points, others with each seed, the short form kills the whole worker.
SHORT_GROUPS = 4


def kill_at_random(ground: Ground) -> None:
    """Three workers under load; every few jobs, one of them or one child dies."""
    kills = ground.jobs // 10
    uploads = list(ground.corpus.mixed(ground.jobs))
    crew = ground.hire(3)
    # Jobs come in as long as somebody dies: a kill is to meet some at work.
    with ground.submitting(uploads, pause=0.01 if ground.short else 0.15):
        # A child that has not started yet is no fault, and the next one is drawn.
        while sum(ground.book.faults.values()) < kills:
            ground.pause(ground.random.uniform(0.2, 1.0 if ground.short else 4.0))
            member = ground.random.choice(crew)
            drawn = ground.random.randrange(100)
            if drawn < GROUPS_OF_100:
                ground.kill_group(member)
            elif drawn < GROUPS_OF_100 + MAINS_OF_100:
                ground.kill_main(member)
            else:
                ground.kill_child(member)


KILLS = Scenario("kills", kill_at_random, jobs=(2000, 80))


def strike_at_points(ground: Ground) -> None:
    """Every point of a worker with every action, each at a job of its own."""
    stop_for = 2 * ground.lease + 0.5
    armed = armed_ground(ground, stop_for)
    if ground.short:
        ground.hire(3, concurrency=3)
    else:
        # One job each: a killed worker takes no other job's chances with it.
        ground.hire(10, concurrency=1)
    for _ in range(1 if ground.short else ground.jobs // 60):
        for point, action in _chosen(ground):
            _arm(ground, armed, f"{point} {action}")
            ground.book.fault(action, point)
            ground.tend()
        _strike_producers(ground, armed)
    wait_until_struck(ground, armed, again=lambda fault: _arm(ground, armed, fault))
    _strike_reconcile(ground, armed)


def _arm(ground: Ground, armed: Armed, fault: str) -> None:
    point = fault.partition(" ")[0]
    ground.submit(_upload_for(ground, point), lambda entry: armed.arm(entry.id, fault))


def worker_faults() -> Iterator[tuple[str, str]]:
    yield from itertools.product(WORKER_POINTS, ACTIONS)
    yield from ((point, "lose_reply") for point in REPLY_POINTS)


def _chosen(ground: Ground) -> list[tuple[str, str]]:
    """All of them; the short form kills few whole workers: each has to start again."""
    every = list(worker_faults())
    if not ground.short:
        return every
    groups = [fault for fault in every if fault[1] == "kill_group"]
    left_out = ground.random.sample(groups, len(groups) - SHORT_GROUPS)
    return [fault for fault in every if fault not in left_out]


def _upload_for(ground: Ground, point: str) -> Upload:
    if point.startswith("quarantine"):
        return ground.corpus.infected()
    # From the commit on it is one with several outputs: all of them must be there, or none.
    several = point.startswith(("commit", "outcome", "discard", "result"))
    return ground.corpus.picture() if several else ground.corpus.good()


def _strike_producers(ground: Ground, armed: Armed) -> None:
    """A producer dies after each of its actions; then another asks with the same key, or none."""
    dying = []
    for number, point in enumerate(PRODUCER_POINTS):
        key = f"producer-{number}-{ground.random.getrandbits(32):x}"
        entry = known_before(ground, ground.corpus.text(), key)
        armed.arm(entry.id, f"{point} kill_child")
        ground.book.fault("kill_producer", point)
        dying.append((number, key, entry, produce(ground, armed, entry, key)))
    for number, key, entry, process in dying:
        process.wait(PATIENCE)
        upload = entry.upload
        if number % 2:  # the others rest on reconcile alone
            ground.uploads.enqueue(upload.content, pipeline=upload.pipeline, idempotency_key=key)
            entry.accepted = time.monotonic()


def _strike_reconcile(ground: Ground, armed: Armed) -> None:
    """Redis forgets jobs, and whoever brings them back dies in doing so."""
    for member in ground.crew:
        member.replaced = False
    ground.stop_warm(ground.crew)
    for point in RECONCILE_POINTS:
        ground.submit(ground.corpus.text(), lambda e, p=point: armed.arm(e.id, f"{p} kill_child"))
        ground.book.fault("kill_reconcile", point)
    with ground.redis() as client:
        client.flushall()
    command = [sys.executable, "-m", "chaos.dying_command", "recover"]
    for _ in RECONCILE_POINTS:
        subprocess.run(command, env=dying(ground, armed), check=False, timeout=PATIENCE)
    for member in ground.crew:
        member.replaced = True


POINTS = Scenario("fault_points", strike_at_points, jobs=(60, 60))
