"""Collect what nobody needs any more: nothing stays for ever, nothing goes too early.

Everything here may run beside producers and workers, may be killed anywhere and may be repeated.
It never touches an object whose key has not the form of those that uploadmill itself writes.
"""

from __future__ import annotations

import logging
from datetime import datetime
from itertools import groupby

from uploadmill.backends.ledger.decisions import Decision
from uploadmill.backends.ledger.gc_outputs import collect_leftovers, collect_outcomes
from uploadmill.backends.ledger.gc_report import Broom, Collected
from uploadmill.backends.ledger.own_keys import Form, forms, staged_of
from uploadmill.backends.ledger.settle import Settler
from uploadmill.backends.storage.base import Storage
from uploadmill.backends.storage.objects import ObjectStat
from uploadmill.backends.storage.unfinished import KeepsParts
from uploadmill.job import Placement
from uploadmill.wire import UPLOADS

log = logging.getLogger("uploadmill.gc")

#: What is written into the staging store to learn its time; always the same, so none can pile up,
#: and nobody else's.
CLOCK = "gc/uploadmill-clock"


def collect(settler: Settler, *, dry_run: bool = True, orphans: bool = False) -> Collected:
    """Find what may go and, unless *dry_run*, delete it.

    Args:
        settler: The stores and the ledger.
        dry_run: Delete nothing. What goes only after something else has gone is not counted.
        orphans: Also delete outputs of which no document and no record tells any more. They are
            the leftovers of killed runs, unless somebody else has put them there.

    Raises:
        StorageUnavailable: The staging store does not tell its time.
    """
    broom = Broom(settler, store_time(settler.stores.staging), dry_run=dry_run)
    with broom.part("staged"):
        collect_staged(broom)
    with broom.part("outcomes"):
        collect_outcomes(broom)
    for placed in (Placement.PRIMARY, Placement.SECONDARY):
        with broom.part(f"outputs in {placed}"):
            collect_leftovers(broom, placed, orphans=orphans)
    for store, prefix, form in forms(settler.stores):
        with broom.part(f"parts in {store.name}"):
            collect_parts(broom, store, prefix, form)
    report = broom.report
    counts: dict[str, int] = {kind: pile.count for kind, pile in report.piles.items()}
    log.info("collection_ended", extra={"dry_run": dry_run, **counts})
    return report


def store_time(staging: Storage) -> datetime:
    """What time it is for the store: by its clock objects age, whatever the clock here says."""
    stat = staging.put(CLOCK, b"what time is it?\n", content_type="text/plain")
    staging.delete(CLOCK)
    return stat.modified


def collect_staged(broom: Broom) -> None:
    """Staged bytes: their age, THEN the envelope, THEN the outcome, in this order.

    An envelope that names such old bytes and comes only now is of a producer that finds out by
    its own clock that it was too slow, and promises nothing. An envelope that has gone has left
    an outcome.
    """
    age = broom.settler.ledger.constants.stage_grace
    staging = broom.settler.stores.staging
    old = (stat for stat in staging.list(UPLOADS) if broom.old(stat.modified, age))
    for job_id, found in groupby(old, key=lambda stat: staged_of(stat.key)):
        if job_id is not None:
            with broom.job(job_id):
                broom.take("staged", staging, _unneeded(broom, job_id, list(found)))


def _unneeded(broom: Broom, job_id: str, found: list[ObjectStat]) -> list[ObjectStat]:
    """Which of a job's old staged objects nobody will read."""
    decisions = broom.settler.decisions
    envelope = decisions.envelope(job_id)
    if envelope is not None:
        found = [stat for stat in found if stat.key != envelope.job.staged.key]
    if not found or _keeps_bytes(decisions.outcome(job_id), broom.now):
        return []
    return found


def _keeps_bytes(decision: Decision | None, now: datetime) -> bool:
    keep_until = decision.outcome.keep_until if decision is not None else None
    return keep_until is not None and keep_until > now


def collect_parts(broom: Broom, store: Storage, prefix: str, form: Form) -> None:
    """Parts of our uploads that were broken off long ago: no list shows them, and they cost.

    Args:
        broom: Takes them.
        store: Where they may be.
        prefix: What all of our keys there start with; it only makes the list shorter.
        form: Tells our keys from others'.
    """
    if not isinstance(store, KeepsParts):
        return
    for upload in store.unfinished(prefix):
        if form(upload.key) and broom.old(upload.begun, broom.settler.ledger.constants.stage_grace):
            broom.count("parts", upload.key)
            if not broom.report.dry_run:
                extra = {"kind": "parts", "store": store.name, "keys": [upload.key]}
                log.info("collected", extra=extra)
                store.abort(upload)
