"""Make the ledger agree with the staging store again: nothing accepted is forgotten.

Redis may lose its last writes, fall back to an older state or come back empty. The envelopes
know every job that has not been cleaned up, the outcomes how those that ended did.
"""

from __future__ import annotations

import logging
from collections import Counter
from dataclasses import dataclass
from typing import Literal

from pydantic import ValidationError

from uploadmill.backends.ledger.settle import Settler
from uploadmill.errors import StorageUnavailable

log = logging.getLogger("uploadmill.reconcile")


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


def reconcile(settler: Settler) -> Reconciled:
    """Go through all envelopes: conclude what was decided, accept again what was not.

    Idempotent, and safe beside workers and producers at work.

    Raises:
        StorageUnavailable: The staging store does not list its envelopes.
        LedgerUnavailable: There is nothing to agree with.
    """
    done: Counter[str] = Counter()
    for job_id in settler.decisions.envelope_ids():
        try:
            done[_reconcile_job(settler, job_id)] += 1
        except (StorageUnavailable, ValidationError) as error:
            done["postponed"] += 1
            reason = getattr(error, "reason", "its documents cannot be read")
            log.warning("job_not_reconciled", extra={"job": job_id, "reason": reason})
    counts = {name: done[name] for name in ("reopened", "concluded", "postponed")}
    result = Reconciled(seen=done.total(), **counts)
    log.info("reconciled", extra={"seen": result.seen, **counts})
    return result


def _reconcile_job(settler: Settler, job_id: str) -> Literal["concluded", "reopened", "known"]:
    decision = settler.decisions.outcome(job_id)
    if decision is not None:
        settler.conclude(decision)
        return "concluded"
    envelope = settler.decisions.envelope(job_id)
    if envelope is None:  # ended and cleaned up since the listing
        return "known"
    answer = settler.ledger.accept(envelope.job, envelope.payload_hash)
    return "reopened" if answer.name == "new" else "known"
