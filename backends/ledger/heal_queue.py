"""The jobs of which the secondary has something, and when somebody is to look at each."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Literal, cast

from uploadmill.backends.ledger.ledger import Ledger
from uploadmill.backends.ledger.names import HEAL, STRANDED
from uploadmill.backends.ledger.scripts import serving

#: Seconds for which whoever was told of a job has it for himself; then it is due again. Longer
#: than most jobs take; two who heal the same one do no harm.
HOLD = 60.0


def next_due(ledger: Ledger) -> str | None:
    """A job that is to be healed now; it is the caller's for :data:`HOLD` seconds."""
    due = cast("list[str]", ledger.call("heal_due", (HEAL,), (1, _ms(HOLD))))
    return due[0] if due else None


def put(
    ledger: Ledger, job_ids: Sequence[str], delay: float, *, only: Literal["new", "old"]
) -> None:
    """Have jobs looked at in *delay* seconds.

    Args:
        ledger: Whose queue.
        job_ids: Any number of them.
        delay: Seconds by the ledger's clock.
        only: Those that are not in the queue yet, or those that are: one that somebody else has
            dealt with meanwhile must not come back.
    """
    if job_ids:
        ledger.call("heal_put", (HEAL,), ("NX" if only == "new" else "XX", _ms(delay), *job_ids))


def drop(ledger: Ledger, job_id: str) -> None:
    """Nothing of this job is to be healed."""
    ledger.call("heal_drop", (HEAL, STRANDED), (job_id,))


def queued(ledger: Ledger) -> Iterator[str]:
    """Every job in the queue, due or not, some twice while others change it."""
    with serving():
        for job_id, _ in ledger.redis.zscan_iter(HEAL, count=200):
            yield job_id


def unknown_of(ledger: Ledger, job_ids: Sequence[str]) -> list[str]:
    """Those that are not in the queue."""
    with serving():
        scores = ledger.redis.zmscore(HEAL, list(job_ids))
    return [job_id for job_id, at in zip(job_ids, scores, strict=True) if at is None]


def _ms(seconds: float) -> int:
    return round(seconds * 1000)
