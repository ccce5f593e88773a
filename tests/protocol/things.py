"""What there is besides processes: time, Redis, the stores; and what may happen to them."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, datetime
from typing import Any

import redis
from protocol.watch import Watch
from protocol.workers import START, Scanner
from services.memory_stores import MoodyStorage
from services.timed_ledger import CLOCK, TimedLedger

from uploadmill.backends.storage.roles import Stores
from uploadmill.errors import UploadmillError
from uploadmill.wire import OUTCOMES

ROLES = ("staging", "primary", "secondary", "quarantine")


class Things:
    """Time, Redis and the stores of one world, and what was asked of it."""

    prefix = "media/"

    def __init__(self, ledger: TimedLedger, url: str) -> None:
        self.ledger = ledger
        #: The same Redis, with bytes as they are.
        self.raw = redis.Redis.from_url(url)
        self.ms = START
        self.raw.flushdb()
        self.raw.set(CLOCK, START)
        self.stores = Stores(**{role: MoodyStorage(role) for role in ROLES}, prefix=self.prefix)
        self.scanner = Scanner()
        self.late: list[Callable[[], Any]] = []
        self.copies: list[tuple[float, dict[str, bytes]]] = []
        #: The bytes that were given for each job, by producers and by overwriting.
        self.contents: dict[str, list[bytes]] = {}
        self.overwritten: set[str] = set()
        self.cancelled: set[str] = set()
        self.timed_out: set[str] = set()
        #: How often Redis fell back, and how often it forgot anything.
        self.rollbacks = self.forgot = 0
        self.watch = Watch(self)

    def close(self) -> None:
        self.ledger.close()
        self.raw.close()

    def time(self) -> float:
        return self.ms / 1000

    def turn_clock(self, seconds: float) -> None:
        self.ms += round(seconds * 1000)
        self.raw.set(CLOCK, self.ms)

    def now(self) -> datetime:
        return datetime.fromtimestamp(self.time(), UTC)

    # -- what happens to Redis and to the stores ----------------------------------------------

    def copy_redis(self) -> None:
        keys = self.ledger.redis.keys("um:*")
        with self.raw.pipeline(transaction=False) as pipeline:
            for key in keys:
                pipeline.dump(key)
            dumps = dict(zip(keys, pipeline.execute(), strict=True))
        self.copies.append((self.time(), dumps))

    def young_copies(self) -> list[dict[str, bytes]]:
        """Those that Redis may fall back to: an older state is emptied and reconciled."""
        oldest = self.time() - self.ledger.constants.heal_grace
        return [copy for at, copy in self.copies if at > oldest]

    def put_back(self, copy: dict[str, bytes] | None = None) -> None:
        """Redis falls back to an older state, by default the last one copied."""
        copy = self.copies[-1][1] if copy is None else copy
        self.empty_redis()
        self.rollbacks += 1
        with self.raw.pipeline(transaction=False) as pipeline:
            for key, dump in copy.items():
                pipeline.restore(key, 0, dump)
            pipeline.execute()

    def empty_redis(self) -> None:
        self.forgot += 1
        self.raw.flushdb()
        self.raw.set(CLOCK, self.ms)

    def overwrite(self, job_id: str, content: bytes) -> bool:
        """The client of a presigned address writes once more."""
        envelope = self.watch.envelopes.get(job_id)
        gone = envelope is None or self.object("staging", envelope.job.staged.key) is None
        if gone or self.stores.staging.out:
            return False
        self.overwritten.add(job_id)
        self.contents[job_id].append(content)
        MoodyStorage.put(self.stores.staging, envelope.job.staged.key, content)
        return True

    def forget_outcome(self, job_id: str) -> None:
        """The outcome is older than ``tombstone_keep``, and collected."""
        self.stores.staging.delete(f"{OUTCOMES}{job_id}.json")

    def land(self) -> None:
        """A write that was reported as failed lands now."""
        with suppress(UploadmillError):
            self.late.pop(0)()
        self.watch.look()

    # -- what the watch asks ------------------------------------------------------------------

    def store(self, role: str) -> MoodyStorage:
        return getattr(self.stores, role)

    def object(self, role: str, key: str) -> Any:
        return self.store(role)._objects.get(key)

    def objects(self, role: str, prefix: str) -> list[tuple[str, Any]]:
        found = list(self.store(role)._objects.items())
        return [(key, item) for key, item in found if key.startswith(prefix)]

    def accepted_for(self, job_id: str) -> float:
        """Seconds since the first envelope of the job could have been accepted."""
        found = self.watch.envelopes[job_id].job.enqueued_at
        return (self.now() - found).total_seconds()
