"""How the jobs stand as a whole, at a price that does not grow with their number."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from uploadmill.backends.ledger.ledger import Ledger
from uploadmill.backends.ledger.names import HEAL, OPEN, RUNNING, SINCE, STATS, STRANDED, WAITING

#: Stale entries that one call drops at most; there are none unless records were tampered with.
STALE = 100


@dataclass(frozen=True, slots=True)
class Stats:
    """Numbers of jobs now, and counters since this Redis was last empty.

    Attributes:
        open: Jobs that have not ended: the sum of the next three.
        accepted: Nobody works on them, and somebody could.
        running: Somebody's lease is live.
        waiting: To be tried again later.
        due: Somebody must look at them now.
        oldest_open: Seconds since the oldest open job was accepted; None where none is open.
        heal: Stored on the secondary, to be brought to the primary.
        oldest_heal: Seconds since the oldest of them was stored there; None where there is none.
        healed: On the primary again; their copies stay on the secondary for a while.
        taken: Jobs accepted so far.
        ended: How many ended in which state.
        failed: How many failed under which error code.
        swept: Wakes that the sweeper sent.
        lost: Leases that ran out without being given back.
        crashed: Children reported dead.
        fenced: Calls under a token that was no longer the job's.
        vanished: Jobs that stood among the open ones and had no open record.
    """

    open: int
    accepted: int
    running: int
    waiting: int
    due: int
    oldest_open: float | None
    heal: int
    oldest_heal: float | None
    healed: int
    taken: int
    ended: Mapping[str, int]
    failed: Mapping[str, int]
    swept: int
    lost: int
    crashed: int
    fenced: int
    vanished: int


def stats(ledger: Ledger) -> Stats:
    """Count, by the ledger's own clock.

    Raises:
        LedgerUnavailable: Redis does not serve us.
    """
    reply = ledger.call("stats", _KEYS, (STALE,))
    opened, running, waiting, due, oldest, queued, stranded, oldest_heal, flat = reply
    # Beside the counters there is what the sweepers of all workers remember together.
    counters = dict(zip(flat[::2], flat[1::2], strict=True))
    return Stats(
        open=opened,
        accepted=max(0, opened - running - waiting),
        running=running,
        waiting=waiting,
        due=due,
        oldest_open=_seconds(oldest),
        heal=stranded,
        oldest_heal=_seconds(oldest_heal),
        healed=queued - stranded,
        taken=int(counters.get("accepted", 0)),
        ended=_below("ended:", counters),
        failed=_below("failed:", counters),
        **{name: int(counters.get(name, 0)) for name in _COUNTERS},
    )


_KEYS = (OPEN, STATS, SINCE, RUNNING, WAITING, HEAL, STRANDED)
_COUNTERS = ("swept", "lost", "crashed", "fenced", "vanished")


def _seconds(age: int) -> float | None:
    return None if age < 0 else age / 1000


def _below(prefix: str, counters: Mapping[str, str]) -> Mapping[str, int]:
    """The counters whose names start with *prefix*, without it."""
    return {
        name.removeprefix(prefix): int(value)
        for name, value in sorted(counters.items())
        if name.startswith(prefix)
    }
