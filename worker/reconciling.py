"""When to reconcile: at start, now and then, and when Redis may have forgotten something.

Whoever has reconciled notes in Redis when it began and which Redis that was. The note tells
everything: it is old, it is of another Redis (restarted, or another one has taken over), or it
is gone (Redis came back empty, or somebody began and did not come to the end). One process does
it at a time, by a lock that only saves work.

What takes long lists of the stores is done where Redis may have forgotten something, and else once
a day: the secondary may hold millions of objects.
"""

from __future__ import annotations

import logging
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import NamedTuple

import redis

from uploadmill.backends.ledger.ledger import Ledger
from uploadmill.wire import LEDGER_PREFIX
from uploadmill.worker.alone import alone
from uploadmill.worker.errands import Errand, command

log = logging.getLogger("uploadmill.reconcile")

RECONCILED = LEDGER_PREFIX + "reconciled"
LOCK = LEDGER_PREFIX + "lock:reconcile"

#: Seconds after which the lock of a process that died is free. A living one renews it three times
#: in that time; one that stands still for longer costs no more than doing the work twice.
LOCK_TTL = 10.0

#: Seconds between two looks at the note. A worker whose attempts fail makes twice the pause each
#: time, up to the time after which it is due anyway.
LOOK = 5.0

#: Seconds after which the lists are gone through although Redis has forgotten nothing.
LISTS = 86_400.0

#: A worker that starts needs no reconciliation if one began so few seconds ago.
AT_START = 5.0


@dataclass
class Turn:
    """A reconciliation that has begun.

    Attributes:
        lists: Whether the lists are to be gone through, too.
        listed: To be set by who has gone through them to the end.
    """

    lists: bool
    listed: bool = False


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
        last = self._last()
        return last is None or self._now() - last.began >= within

    @property
    def taken(self) -> bool:
        """Whether somebody is at it."""
        return bool(self._redis.exists(LOCK))

    @contextmanager
    def take(self, within: float) -> Iterator[Turn | None]:
        """Hold the turn while the block lasts; None where it is somebody else's, or not due.

        The note is taken away meanwhile, and written when the block ends without an error and the
        lock is still ours: where it is not, Redis may have been emptied, and what was seen to
        before that is forgotten again. Without a note somebody else begins at once.
        """
        with alone(self._redis, LOCK, LOCK_TTL) as held:
            if held is None or not self.due(within):
                yield None
                return
            last, identity, began = self._last(), self.identity(), self._now()
            turn = Turn(lists=last is None or began - last.listed >= LISTS)
            self._redis.delete(RECONCILED)
            yield turn
            listed = began if turn.listed else last.listed if last else 0.0
            if not held.set(RECONCILED, f"{identity} {began} {listed}"):
                log.warning("reconciled_in_vain")

    def identity(self) -> str:
        """Which Redis this is: another one after every restart and every failover."""
        server, replication = self._redis.info("server"), self._redis.info("replication")
        return f"{server.get('run_id')}:{replication.get('master_replid')}"

    def _last(self) -> _Note | None:
        """What is noted of the last one; None where that is nothing, or of another Redis."""
        identity, *times = _text(self._redis.get(RECONCILED)).split() or ("",)
        ours = identity == self.identity() and len(times) == len(_Note._fields)
        return _Note(*map(float, times)) if ours else None

    def _now(self) -> float:
        seconds, microseconds = self._redis.time()
        return float(seconds) + float(microseconds) / 1e6


class _Note(NamedTuple):
    """When the last reconciliation began, and the last that went through the lists."""

    began: float
    listed: float


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
