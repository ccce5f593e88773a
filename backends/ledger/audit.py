"""Compare what the stores have with what outcomes and results say; never changes anything.

The primary, the secondary and the outcomes are walked side by side, job by job, in the order of
their keys, so any number of objects costs the same memory. A job that looks wrong is looked at
once more before it is told of: it may have ended, or come home, in between.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import UTC, datetime
from itertools import groupby, islice
from operator import attrgetter

from uploadmill.backends.ledger.audit_look import Finding, Kind, Traces, look
from uploadmill.backends.ledger.gc_report import Pile
from uploadmill.backends.ledger.own_keys import document_of, output_of
from uploadmill.backends.ledger.settle import Settler
from uploadmill.backends.storage.unfinished import KeepsParts
from uploadmill.job import Placement
from uploadmill.wire import OUTCOMES

#: Jobs looked at at once: each takes some small reads, one after the other.
AT_ONCE = 8

#: Jobs handed to the pool together.
PIECE = 256

#: Where outputs lie.
ROLES = ("primary", "secondary")


@dataclass(slots=True)
class Audited:
    """What was found.

    Attributes:
        verified: Every output was read to its end.
        jobs: All of which there was anything.
        objects: In the primary and the secondary, by role; only our own.
        bytes: The same.
        piles: What is wrong, by kind.
    """

    verified: bool
    jobs: int = 0
    objects: dict[str, int] = field(default_factory=lambda: dict.fromkeys(ROLES, 0))
    bytes: dict[str, int] = field(default_factory=lambda: dict.fromkeys(ROLES, 0))
    piles: dict[Kind, Pile] = field(default_factory=dict)

    @property
    def ok(self) -> bool:
        """Whether nothing is wrong."""
        return not self.piles


def audit(settler: Settler, *, verify: bool = False) -> Iterator[Finding | Audited]:
    """Walk through everything; gives each finding as it is found, and the sum at the end.

    Args:
        settler: The stores and the ledger.
        verify: Read every output to its end, instead of believing the store's facts of it.

    Raises:
        StorageUnavailable: A store does not answer.
        LedgerUnavailable: The same for the ledger.
    """
    report = Audited(verified=verify)
    jobs = iter(_jobs(settler))
    with ThreadPoolExecutor(AT_ONCE) as pool:
        while piece := list(islice(jobs, PIECE)):
            for traces in piece:
                _count(report, traces)
            for found in pool.map(lambda traces: _twice(settler, traces, verify=verify), piece):
                yield from _told(report, found)
    yield from _told(report, _parts(settler))
    yield report


def _told(report: Audited, found: Iterable[Finding]) -> Iterator[Finding]:
    for finding in found:
        report.piles.setdefault(finding.kind, Pile()).add(
            f"{finding.store}/{finding.key}", finding.size
        )
        yield finding


def _count(report: Audited, traces: Traces) -> None:
    report.jobs += 1
    for placed, found in traces.objects.items():
        report.objects[placed.value] += len(found)
        report.bytes[placed.value] += sum(stat.size for stat in found)


# -- what there is -------------------------------------------------------------------------


def _jobs(settler: Settler) -> Iterator[Traces]:
    """Each job of which there is anything, once: three sorted walks merged."""
    walks = (
        _stored(settler, Placement.PRIMARY),
        _stored(settler, Placement.SECONDARY),
        _decided(settler),
    )
    for job_id, parts in groupby(heapq.merge(*walks, key=attrgetter("id")), attrgetter("id")):
        whole = Traces(job_id)
        for traces in parts:
            whole.objects |= traces.objects
            whole.outcome |= traces.outcome
        yield whole


def _stored(settler: Settler, placed: Placement, job_id: str = "") -> Iterator[Traces]:
    stores = settler.stores
    prefix = f"{stores.prefix}{job_id}/" if job_id else stores.prefix
    for found_id, objects in groupby(
        stores.at(placed).list(prefix),
        key=lambda stat: stat.key.removeprefix(stores.prefix).partition("/")[0],
    ):
        ours = [stat for stat in objects if output_of(stores, stat.key)]
        if ours:
            yield Traces(found_id, {placed: ours})


def _decided(settler: Settler) -> Iterator[Traces]:
    for stat in settler.stores.staging.list(OUTCOMES):
        job_id = document_of(OUTCOMES, stat.key)
        if job_id is not None:
            yield Traces(job_id, outcome=True)


def _again(settler: Settler, job_id: str) -> Traces:
    """One job as it stands now."""
    whole = Traces(job_id, outcome=settler.stores.staging.exists(f"{OUTCOMES}{job_id}.json"))
    for placed in (Placement.PRIMARY, Placement.SECONDARY):
        for traces in _stored(settler, placed, job_id):
            whole.objects |= traces.objects
    return whole


def _twice(settler: Settler, traces: Traces, *, verify: bool) -> list[Finding]:
    """Look at a job, and once more where something is wrong."""
    found = look(settler, traces, verify=verify)
    return look(settler, _again(settler, traces.id), verify=verify) if found else found


def _parts(settler: Settler) -> Iterator[Finding]:
    """Parts of uploads that were begun so long ago that nobody goes on with them."""
    stores = settler.stores
    # By the clock here: nothing is deleted, and nothing is to be written for its sake.
    now, grace = datetime.now(UTC), settler.ledger.constants.stage_grace
    for placed in (Placement.PRIMARY, Placement.SECONDARY):
        store = stores.at(placed)
        for upload in store.unfinished(stores.prefix) if isinstance(store, KeepsParts) else ():
            old = (now - upload.begun).total_seconds() > grace
            if old and output_of(stores, upload.key):
                yield Finding("parts", placed.value, upload.key)
