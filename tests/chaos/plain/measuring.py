"""Thousands of tiny tasks, a worker that is killed again and again, and what never ran."""

from __future__ import annotations

import os
import random
import signal
import sys
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import redis

from chaos.draining import let_hours_pass
from chaos.leftovers import UNACKED
from chaos.scenario import Row, cpu_seconds
from uploadmill.worker.embedded.processes import Server
from uploadmill.worker.embedded.valkey import embedded_valkey

NAME = "plain_celery"

#: In the long form, and in the short one.
TASKS, KILLS = (6000, 600), (45, 4)

#: The part of all tasks within which the kills are spread: those of killed workers come back only
#: at the end, and every kill is to meet a worker at work.
SPREAD = 0.8

#: Seconds in which the next task must run, and all that come back.
PATIENCE = 120.0

#: Looks, a tenth of a second apart, at which nothing may be there.
QUIET = 20

#: Bytes of a note.
NOTE = 8

#: The queue that Celery uses unless it is told another one.
QUEUE = "celery"


class Bench:
    """A queue of tasks, and the worker that works them off until it is killed."""

    def __init__(self, folder: Path, broker: str) -> None:
        self.folder = folder
        self.notes = folder / "notes"
        self.notes.touch()
        path = str(Path(__file__).parents[2])
        own = {"PLAIN_BROKER": broker, "PLAIN_NOTES": str(self.notes), "PYTHONPATH": path}
        self.environ = {**os.environ, **own}
        self.started = 0

    @property
    def ran(self) -> int:
        """How many notes there are."""
        return self.notes.stat().st_size // NOTE

    @contextmanager
    def worker(self) -> Iterator[Server]:
        """A worker while the block lasts, which ends with a kill of all its processes."""
        self.started += 1
        command = [sys.executable, "-m", "celery", "-A", "chaos.plain.app", "worker"]
        command += ["--concurrency", "2", "--without-gossip", "--without-mingle"]
        log = self.folder / f"worker{self.started}.log"
        server = Server("worker", command, log, self.environ)
        yield server
        with suppress(ProcessLookupError):
            os.killpg(server.pid, signal.SIGKILL)
        server.stop()

    def wait_until(self, ran: int) -> None:
        end = time.monotonic() + PATIENCE
        while self.ran < ran:
            if time.monotonic() > end:
                raise TimeoutError(f"{self.ran} tasks have run, not {ran}")
            time.sleep(0.001)


def measure(folder: Path, *, seed: int, short: bool) -> Row:
    """Kill, let everything that can come back come back, and count."""
    began = time.monotonic()
    tasks, kills = TASKS[short], KILLS[short]
    chance = random.Random(seed)  # noqa: S311 - chance keeps no secret here
    with embedded_valkey(folder / "valkey", persistent=True) as valkey:
        bench = Bench(folder, valkey.url)
        with redis.Redis.from_url(valkey.url, decode_responses=True) as client:
            _publish(valkey.url, tasks)
            for kill in range(kills):
                with bench.worker():
                    bench.wait_until(int((kill + chance.random()) * SPREAD * tasks / kills))
            with bench.worker():
                _work_off(client)
    runs = Counter(int(line) for line in bench.notes.read_text().split())
    never = [number for number in range(tasks) if number not in runs]
    return Row(
        name=NAME,
        seed=seed,
        jobs=tasks,
        faults={"kill_group": kills},
        lost=len(never),
        doubled=sum(1 for count in runs.values() if count > 1),
        wrong=0,
        worst_delay=0.0,
        seconds=round(time.monotonic() - began, 1),
        cpu=round(cpu_seconds(), 1),
        looks=0,
        measured={},
        violations=tuple(f"lost: task {number} never ran" for number in never),
    )


def _publish(broker: str, tasks: int) -> None:
    from celery import Celery  # noqa: PLC0415 (its application is not ours)

    with Celery("publisher", broker=broker, set_as_current=False) as app:
        for number in range(tasks):
            app.send_task("chaos.plain.app.tiny", (number,), ignore_result=True)


def _work_off(client: redis.Redis) -> None:
    """Return when nothing waits any more, nor comes back; a message may be on its way unseen."""
    end, quiet = time.monotonic() + PATIENCE, 0
    while quiet < QUIET:
        if time.monotonic() > end:
            raise TimeoutError("the tasks are not worked off")
        let_hours_pass(client)
        quiet = 0 if client.llen(QUEUE) or client.exists(UNACKED) else quiet + 1
        time.sleep(0.1)
