"""When to heal: whenever something is due, by one process at a time."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager

import redis

from uploadmill.backends.ledger.ledger import Ledger
from uploadmill.backends.ledger.names import HEAL
from uploadmill.wire import LEDGER_PREFIX
from uploadmill.worker.alone import alone, first_lately
from uploadmill.worker.errands import Errand, Start, command

LOCK = LEDGER_PREFIX + "lock:heal"

#: Set while it is too early for another look: a store that is out is not to be asked by every
#: worker in turn.
LOOKED = LEDGER_PREFIX + "healed"

#: Seconds after which the lock of a healer that died is free.
LOCK_TTL = 10.0


@contextmanager
def turn(client: redis.Redis, every: float) -> Iterator[bool]:
    """Heal while the block lasts; False where somebody else is at it, or was a moment ago."""
    with alone(client, LOCK, LOCK_TTL) as ours:
        yield ours is not None and first_lately(client, LOOKED, every)


def heal() -> subprocess.Popen[bytes]:
    """Run ``uploadmill heal`` unless somebody else is at it."""
    return command("heal", "--in-turn")


class Healing(Errand):
    """Starts ``uploadmill heal`` whenever a job is due and nobody is at it.

    Args:
        ledger: On connections of its own.
        every: Seconds between two looks.
        start: Starts it.
    """

    def __init__(self, ledger: Ledger, every: float, start: Start = heal) -> None:
        super().__init__("heal", ledger, every, start)

    def due(self) -> bool:
        """Whether a job is due, by Redis' clock."""
        client = self._ledger.redis
        if client.exists(LOCK, LOOKED):
            return False
        seconds, microseconds = client.time()
        return bool(client.zcount(HEAL, "-inf", seconds * 1000 + microseconds // 1000))
