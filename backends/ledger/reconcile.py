"""Make the ledger agree with the staging store again: nothing accepted is forgotten.

Redis may lose its last writes, fall back to an older state or come back empty. The envelopes
know every job that has not been cleaned up, the outcomes how those that ended did.
"""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import islice
from typing import Literal

from pydantic import ValidationError

from uploadmill.backends.ledger.settle import Settler
from uploadmill.errors import StorageUnavailable

log = logging.getLogger("uploadmill.reconcile")

#: Jobs looked at at once. Each takes two small reads of the staging store, one after the other.
AT_ONCE = 8

#: Jobs handed to the pool together.
PIECE = 256

#: What came of one job.
Did = Literal["concluded", "reopened", "known"]


@dataclass(frozen=True, slots=True)
class Reconciled:
    """What a reconciliation did, in jobs.

    Attributes:
        seen: All that have an envelope.
        reopened: The ledger had forgotten them.
        concluded: They were decided and not cleaned up.
        postponed: A store was out, or a newer version wrote their documents.
    """

    seen: int = 0
    reopened: int = 0
    concluded: int = 0
    postponed: int = 0


def reconcile(settler: Settler, *, dry_run: bool = False) -> Reconciled:
    """Go through all envelopes: conclude what was decided, accept again what was not.

    Idempotent, and safe beside workers and producers at work.

    Args:
        settler: The stores and the ledger.
        dry_run: Only say what would be done.

    Raises:
        StorageUnavailable: The staging store does not list its envelopes.
        LedgerUnavailable: There is nothing to agree with.
    """
    done: Counter[str] = Counter()
    ids = iter(settler.decisions.envelope_ids())
    look = _foreseen if dry_run else _reconciled
    with ThreadPoolExecutor(AT_ONCE) as pool:
        # By pieces: a pool takes all it is given at once, and an outage is to end this early.
        while piece := list(islice(ids, PIECE)):
            done.update(pool.map(lambda job_id: _attempted(settler, job_id, look), piece))
    counts = {name: done[name] for name in ("reopened", "concluded", "postponed")}
    result = Reconciled(seen=done.total(), **counts)
    log.info("reconciled", extra={"dry_run": dry_run, "seen": result.seen, **counts})
    return result


def _attempted(settler: Settler, job_id: str, look: Callable[[Settler, str], Did]) -> str:
    try:
        return look(settler, job_id)
    except (StorageUnavailable, ValidationError) as error:
        reason = getattr(error, "reason", "its documents cannot be read")
        log.warning("job_not_reconciled", extra={"job": job_id, "reason": reason})
        return "postponed"


def _foreseen(settler: Settler, job_id: str) -> Did:
    """What :func:`_reconciled` would do."""
    if settler.decisions.outcome(job_id) is not None:
        return "concluded"
    if settler.decisions.envelope(job_id) is None or settler.ledger.read(job_id) is not None:
        return "known"
    return "reopened"


def _reconciled(settler: Settler, job_id: str) -> Did:
    decision = settler.decisions.outcome(job_id)
    if decision is not None:
        settler.conclude(decision)
        return "concluded"
    envelope = settler.decisions.envelope(job_id)
    if envelope is None:  # ended and cleaned up since the listing
        return "known"
    answer = settler.ledger.accept(envelope.job, envelope.payload_hash, woken=False)
    return "reopened" if answer.name == "new" else "known"
