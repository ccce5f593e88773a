"""When to reconcile: at start, now and then, and when Redis may have forgotten something.

Whoever has reconciled notes in Redis when it began and which Redis that was. The note tells
everything: it is old, it is of another Redis (restarted, or another one has taken over), or it
is gone (Redis came back empty, or somebody began and did not come to the end). One process does
it at a time, by a lock that only saves work.
"""

from __future__ import annotations

import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial

import redis

from uploadmill.backends.ledger.ledger import Ledger
from uploadmill.wire import LEDGER_PREFIX
from uploadmill.worker.alone import alone
from uploadmill.worker.errands import Errand, command

RECONCILED = LEDGER_PREFIX + "reconciled"
LOCK = LEDGER_PREFIX + "lock:reconcile"

#: Seconds after which the lock of a process that died is free. A living one renews it three times
#: in that time; one that stands still for longer costs no more than doing the work twice.
LOCK_TTL = 10.0

#: Seconds between two looks at the note. A worker whose attempts fail makes twice the pause each
#: time, up to the time after which it is due anyway.
LOOK = 5.0

#: A worker that starts needs no reconciliation if one began so few seconds ago.
AT_START = 5.0


class Turns:
    """Whose turn it is to reconcile one Redis.

    Args:
        client: The ledger's Redis.
    """

    def __init__(self, client: redis.Redis) -> None:
        self._redis = client

    def due(self, within: float) -> bool:
        """Whether nobody has begun to reconcile this very Redis in the last *within* seconds.

        Raises:
            redis.RedisError: Redis does not answer.
        """
        identity, _, began = (_text(self._redis.get(RECONCILED)) or "").rpartition(" ")
        if identity != self.identity():
            return True
        return self._now() - float(began) >= within

    @property
    def taken(self) -> bool:
        """Whether somebody is at it."""
        return bool(self._redis.exists(LOCK))

    @contextmanager
    def take(self, within: float) -> Iterator[bool]:
        """Hold the turn while the block lasts; False where it is somebody else's, or not due.

        The note is taken away meanwhile, and written when the block ends without an error: where
        it does not, somebody else begins as soon as the lock is free.
        """
        with alone(self._redis, LOCK, LOCK_TTL) as ours:
            if not ours or not self.due(within):
                yield False
                return
            note = f"{self.identity()} {self._now()}"
            self._redis.delete(RECONCILED)
            yield True
            self._redis.set(RECONCILED, note)

    def identity(self) -> str:
        """Which Redis this is: another one after every restart and every failover."""
        server, replication = self._redis.info("server"), self._redis.info("replication")
        return f"{server.get('run_id')}:{replication.get('master_replid')}"

    def _now(self) -> float:
        seconds, microseconds = self._redis.time()
        return float(seconds) + float(microseconds) / 1e6


def _text(value: object) -> str:
    return value.decode() if isinstance(value, bytes) else str(value or "")


class Reconciling(Errand):
    """Starts ``uploadmill recover`` at once, and whenever it is due.

    Args:
        ledger: On connections of its own.
        start: Starts a reconciliation unless one began in the last so many seconds.
    """

    def __init__(
        self, ledger: Ledger, start: Callable[[float], subprocess.Popen[bytes]] | None = None
    ) -> None:
        self._every = ledger.constants.reconcile
        start = start or recover
        again, look = partial(start, self._every), min(LOOK, self._every / 3)
        super().__init__("reconcile", ledger, look, again, longest=self._every)
        self._turns = Turns(ledger.redis)
        self._redis = ""
        self._process = start(AT_START)

    def rested(self) -> bool:
        """Whether the pause is over; what failed on another Redis tells nothing of this one."""
        before, self._redis = self._redis, self._turns.identity()
        if before and before != self._redis:
            self.forgive()
        return super().rested()

    def due(self) -> bool:
        """Whether Redis may have forgotten something, and nobody is at it."""
        return self._turns.due(self._every) and not self._turns.taken


def recover(within: float) -> subprocess.Popen[bytes]:
    """Run ``uploadmill recover`` unless one began in the last *within* seconds."""
    return command("recover", "--unless-within", f"{within:g}")
