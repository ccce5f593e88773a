"""Workers and children are killed, at any moment and at every named point."""

from __future__ import annotations

import itertools
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import suppress

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

#: What happens to a process that is no worker, and what the fault is then called.
ALONE = {"kill_child": "kill_{}", "stop": "stop_{}"}

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
    """A producer dies or stands still after each of its actions; at some, another then asks too."""
    struck = []
    for number, point in enumerate(PRODUCER_POINTS):
        for action, name in ALONE.items():
            key = f"producer-{number}-{action}-{ground.random.getrandbits(32):x}"
            entry = known_before(ground, ground.corpus.text(), key)
            armed.arm(entry.id, f"{point} {action}")
            ground.book.fault(name.format("producer"), point)
            struck.append((number, action, key, entry, produce(ground, armed, entry, key)))
    for number, _, key, entry, process in struck:
        _wait_until_struck_or_ended(armed, entry.id, process)
        upload = entry.upload
        if number % 2:  # the others rest on reconcile alone, or on the one that goes on
            ground.uploads.enqueue(upload.content, pipeline=upload.pipeline, idempotency_key=key)
            entry.accepted = time.monotonic()
    for _, action, _, entry, process in struck:
        status = process.wait(PATIENCE)
        if action == "stop" and status == 0:
            entry.accepted = entry.accepted or time.monotonic()
        if action == "stop" and status != 0:
            ground.book.first(ground.book.wrong, entry.id, f"its producer ended with {status}")


def _wait_until_struck_or_ended(
    armed: Armed, job_id: str, process: subprocess.Popen[bytes]
) -> None:
    end = time.monotonic() + PATIENCE
    while armed.struck_in(job_id) is None and process.poll() is None and time.monotonic() < end:
        time.sleep(0.02)


def _strike_reconcile(ground: Ground, armed: Armed) -> None:
    """Redis forgets jobs, and whoever brings them back dies or stands still in doing so."""
    for member in ground.crew:
        member.replaced = False
    ground.stop_warm(ground.crew)
    for point, (action, name) in itertools.product(RECONCILE_POINTS, ALONE.items()):
        fault = f"{point} {action}"
        ground.submit(ground.corpus.text(), lambda e, fault=fault: armed.arm(e.id, fault))
        ground.book.fault(name.format("reconcile"), point)
    with ground.redis() as client:
        client.flushall()
    command = [sys.executable, "-m", "chaos.dying_command", "recover"]
    at_work = []
    # Each ends at the first kill it meets. Those that follow do not wait for one that stands still.
    while armed.left and len(at_work) < 2 * len(RECONCILE_POINTS):
        at_work.append(subprocess.Popen(command, env=dying(ground, armed)))
        with suppress(subprocess.TimeoutExpired):
            at_work[-1].wait(max(ground.lease / 2, 5.0))
    for process in at_work:
        process.wait(PATIENCE)
    for job_id, fault in armed.left.items():
        ground.book.first(ground.book.wrong, fault, f"never reached by {job_id}")
    for member in ground.crew:
        member.replaced = True


POINTS = Scenario("fault_points", strike_at_points, jobs=(60, 60))
