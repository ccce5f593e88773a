"""Whether many jobs leave something behind: in a worker's memory, or in Redis."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import closing
from pathlib import Path
from typing import Any, cast

import redis
from celery import Celery

from benchmarks.cpu import memory_mb, tree
from benchmarks.empty_steps import APP, memory_folder, new_job
from benchmarks.report import Figure
from benchmarks.workers import UPLOADS, MeasuredWorker, measured_worker
from uploadmill.backends.ledger.ledger import Ledger
from uploadmill.backends.ledger.names import ENDED, JOB
from uploadmill.ids import new_job_id
from uploadmill.wire import PROCESS_TASK
from uploadmill.worker.bootsteps import FORGET
from uploadmill.worker.embedded.environment import embedded_environment

#: Jobs after which the worker counts as warm, in the long form and in the short one.
WARM = (15_000, 500)

#: Jobs from then on.
JOBS = (50_000, 2_000)

#: Jobs that wait at a time.
BATCH = 1_000

#: Seconds for which Redis keeps an ended job's record: a week by default, all of this run.
RESULT_TTL = 10.0

#: The main process and its child.
PROCESSES = 2

#: New or grown keys that are named, if there are any.
SHOWN = 3

#: The keys that grow by design, up to a bound: the stream of ended jobs.
BOUNDED = frozenset({ENDED})

#: MB by which the worker's two processes together may grow.
MEMORY_AIM = 3.0


def measure(folder: Path, *, short: bool) -> Iterator[Figure]:
    """Growth between the end of the warm jobs and the end of all, in empty steps."""
    with tempfile.TemporaryDirectory(dir=memory_folder(folder)) as workspace:
        overrides = {
            "UPLOADMILL_SCANNER__REQUIRED": "true",  # the plan is to have its scan step
            "UPLOADMILL_WORKER__WORKSPACE": workspace,
            "UPLOADMILL_LEDGER__RESULT_TTL": str(RESULT_TTL),
            # Its one key is there before the first count.
            "UPLOADMILL_WORKER__CANARY": "5",
        }
        with (
            embedded_environment(folder, scan=False, overrides=overrides) as environment,
            closing(Ledger(environment.settings.redis_url, environment.settings.ledger)) as ledger,
            measured_worker(environment, events=False, app=APP) as worker,
        ):
            marathon = Marathon(ledger, worker, environment.settings.broker_url)
            marathon.run(WARM[short])
            had, before = left_entries(marathon.redis, RESULT_TTL + 5), marathon.memory()
            marathon.run(JOBS[short])
            left, after = left_entries(marathon.redis, RESULT_TTL + 5), marathon.memory()
            stream = marathon.redis.xlen(ENDED)
            marathon.close()
    jobs = f"{JOBS[short]:,} jobs of seven empty steps"
    detail = f"main process and child from {before:.1f} to {after:.1f} MB in {jobs}"
    yield Figure("worker_growth_mb", after - before, MEMORY_AIM, detail)
    new = left.keys() - had.keys()
    detail = f"{len(left)} after {jobs}, {len(had)} before; new: {_named(new)}"
    yield Figure("redis_keys_left", len(new), 0.0, f"{detail}; um:ended has {stream:,}")
    more = grown(had, left)
    detail = f"in the {len(had)} keys that were there before those jobs; grown: {_named(more)}"
    yield Figure("redis_entries_left", sum(more.values()), 0.0, detail)


def _named(keys: Iterable[str]) -> str:
    return ", ".join(sorted(keys)[:SHOWN]) or "none"


class Marathon:
    """Jobs through one worker, one batch after the other.

    Args:
        ledger: Where they are accepted.
        worker: What works on them.
        broker_url: Where it is told so.
    """

    def __init__(self, ledger: Ledger, worker: MeasuredWorker, broker_url: str) -> None:
        self.ledger = ledger
        self.worker = worker
        self.redis = redis.Redis.from_url(broker_url, decode_responses=True)
        self._sender = Celery("benchmarks", broker=broker_url, set_as_current=False)

    def run(self, jobs: int) -> None:
        """Send them and wait until all have ended."""
        for _ in range(jobs // BATCH or 1):
            for _ in range(min(BATCH, jobs)):
                job_id = new_job_id()
                self.ledger.accept(new_job(job_id), "0" * 64)
                self._sender.send_task(
                    PROCESS_TASK, [job_id], task_id=job_id, queue=cast("str", UPLOADS)
                )
            self.worker.wait_idle()
        assert self.redis.zcard("um:open") == 0

    def memory(self) -> float:
        """MB of the worker's processes together, once the last jobs' time limits are forgotten.

        After 10,000 jobs Celery replaces a child. In the long form the one that is measured is
        not the first, and has done 5,000, before and after.
        """
        time.sleep(FORGET + 1)
        # A canary that is on its way is a process of the worker's, too, and would count.
        while len(found := tree(self.worker.pid)) != PROCESSES:
            time.sleep(0.1)
        return sum(memory_mb(pid) for pid in found)

    def close(self) -> None:
        self._sender.close()
        self.redis.close()


def left_entries(client: redis.Redis, seconds: float) -> dict[str, int]:
    """Every key and how much is in it, once no job has a record, or after so many *seconds*."""
    end = time.monotonic() + seconds
    while any(client.scan_iter(JOB + "*", count=1000)) and time.monotonic() < end:
        time.sleep(0.2)
    return {key: entries_in(client, key) for key in client.scan_iter(count=1000)}


def entries_in(client: redis.Redis, key: str) -> int:
    """How many entries a key has: a plain value is one, however long, a key that has gone none."""
    counting: dict[str, Callable[[str], Any]] = {
        "string": lambda _: 1,
        "hash": client.hlen,
        "list": client.llen,
        "set": client.scard,
        "zset": client.zcard,
        "stream": client.xlen,
        "none": lambda _: 0,
    }
    return int(counting[str(client.type(key))](key))


def grown(before: Mapping[str, int], after: Mapping[str, int]) -> dict[str, int]:
    """By how much the keys have grown that were there before, and are not bounded."""
    kept = (before.keys() & after.keys()) - BOUNDED
    return {key: after[key] - before[key] for key in kept if after[key] > before[key]}
