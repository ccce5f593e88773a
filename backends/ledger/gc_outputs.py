"""The part of the collection that concerns outputs: old outcomes, and what killed runs left."""

from __future__ import annotations

from itertools import groupby

from uploadmill.backends.ledger.decisions import Decision
from uploadmill.backends.ledger.gc_report import Broom
from uploadmill.backends.ledger.own_keys import document_of, output_of, quarantined_of
from uploadmill.backends.ledger.record import Record
from uploadmill.backends.ledger.whole import is_whole
from uploadmill.backends.storage.base import Storage
from uploadmill.backends.storage.objects import ObjectStat
from uploadmill.backends.storage.roles import Stores
from uploadmill.errors import ObjectNotFound
from uploadmill.job import JobState, Outcome, Placement
from uploadmill.wire import OUTCOMES, UPLOADS

#: Ends after which a copy in quarantine is only a killed run's. Of a stored job it is evidence.
_NOT_QUARANTINED = (JobState.REJECTED, JobState.FAILED, JobState.CANCELLED)


def collect_outcomes(broom: Broom) -> None:
    """Outcomes older than ``tombstone_keep`` of jobs that have neither envelope nor bytes.

    Nobody acts on such a job any more, so what its outcome does not name is garbage.
    """
    settler = broom.settler
    for stat in settler.stores.staging.list(OUTCOMES):
        job_id = document_of(OUTCOMES, stat.key)
        if job_id is None:
            continue
        if not broom.old(stat.modified, settler.ledger.constants.tombstone_keep):
            continue
        with broom.job(job_id):
            if settler.decisions.envelope(job_id) is not None or _has_bytes(broom, job_id):
                continue
            decision = settler.decisions.outcome(job_id)
            if decision is not None:
                _retire(broom, decision)
                broom.take("outcomes", settler.stores.staging, [stat])


def _has_bytes(broom: Broom, job_id: str) -> bool:
    return any(True for _ in broom.settler.stores.staging.list(f"{UPLOADS}{job_id}/"))


def _retire(broom: Broom, decision: Decision) -> None:
    """Leave behind just what the outcome names, where a reader without it will look."""
    outcome, stores = decision.outcome, broom.settler.stores
    if not broom.report.dry_run and _lost_its_result(stores, outcome):
        broom.settler.publish(decision)
    _take_outputs(broom, stores.primary, outcome, named=False)
    _take_outputs(broom, stores.secondary, outcome, named=_is_whole(stores, outcome))
    if outcome.state in _NOT_QUARANTINED:
        beside = stores.quarantine.list(f"{outcome.job.id}/")
        copies = [stat for stat in beside if quarantined_of(stat.key)]
        broom.take("quarantine", stores.quarantine, copies)


def _lost_its_result(stores: Stores, outcome: Outcome) -> bool:
    """Whether only ``result.json`` is missing: a web app may have removed all of the upload."""
    if outcome.placed is None:
        return False
    store = stores.at(outcome.placed)
    keys = (output.key for output in outcome.result.outputs.values())
    return not _has(store, stores.result_key(outcome.job.id)) and all(
        _has(store, key) for key in keys
    )


def _take_outputs(broom: Broom, store: Storage, outcome: Outcome, *, named: bool) -> None:
    """Remove a job's objects that its outcome does not name, and if told the *named* too."""
    stores = broom.settler.stores
    keep = set() if named else _named(stores, outcome)
    found = [
        stat
        for stat in store.list(stores.output_key(outcome.job.id, ""))
        if stat.key not in keep and output_of(stores, stat.key)
    ]
    _take(broom, store, found, stores.result_key(outcome.job.id))


def _take(broom: Broom, store: Storage, found: list[ObjectStat], result_key: str) -> None:
    """``result.json`` first: a store that has it has all the job's outputs."""
    broom.take("outputs", store, [stat for stat in found if stat.key == result_key])
    broom.take("outputs", store, [stat for stat in found if stat.key != result_key])


def _named(stores: Stores, outcome: Outcome) -> set[str]:
    if outcome.state is not JobState.STORED:
        return set()
    keys = {output.key for output in outcome.result.outputs.values()}
    return keys | {stores.result_key(outcome.job.id)}


def _is_whole(stores: Stores, outcome: Outcome) -> bool:
    """Whether the primary has the result and every output with its very bytes.

    Only looked at where the secondary has something of a stored job.
    """
    job_id = outcome.job.id
    if outcome.state is not JobState.STORED:
        return False
    if next(stores.secondary.list(stores.output_key(job_id, "")), None) is None:
        return False
    return is_whole(stores, stores.primary, outcome.result)


def collect_leftovers(broom: Broom, placed: Placement, *, orphans: bool) -> None:
    """Outputs without a result beside them: what killed runs have put, and nobody will read.

    A job that has ended otherwise, or elsewhere, is told by its outcome: what that does not name
    goes. Orphans are those of which neither outcome, envelope nor record tells.

    Args:
        broom: Takes them.
        placed: In which store.
        orphans: Delete those too.
    """
    stores = broom.settler.stores
    store = stores.at(placed)
    listed = store.list(stores.prefix)
    for job_id, objects in groupby(listed, key=lambda stat: output_of(stores, stat.key)):
        found = list(objects)
        if job_id is None or not _is_left(broom, job_id, found):
            continue
        with broom.job(job_id):
            # In the order in which they come and go.
            if broom.settler.decisions.envelope(job_id) is not None:
                continue
            decision = broom.settler.decisions.outcome(job_id)
            if decision is not None:
                broom.take("outputs", store, _unnamed(broom, decision.outcome, found))
            elif _is_orphaned(broom, job_id):
                _take_orphans(broom, store, found, delete=orphans)


def _is_left(broom: Broom, job_id: str, found: list[ObjectStat]) -> bool:
    """Whether they are so old that nobody works with them, and without their result."""
    result_key = broom.settler.stores.result_key(job_id)
    age = broom.settler.ledger.constants.workspace_max
    return all(stat.key != result_key and broom.old(stat.modified, age) for stat in found)


def _unnamed(broom: Broom, outcome: Outcome, found: list[ObjectStat]) -> list[ObjectStat]:
    """What an outcome does not name; of an old one, everything has been seen to with it."""
    stores, age = broom.settler.stores, broom.settler.ledger.constants.tombstone_keep
    try:
        decided = stores.staging.stat(f"{OUTCOMES}{outcome.job.id}.json").modified
    except ObjectNotFound:  # another collection has just come to it
        return []
    if broom.old(decided, age):
        return []
    named = _named(stores, outcome)
    return [stat for stat in found if stat.key not in named]


def _is_orphaned(broom: Broom, job_id: str) -> bool:
    """Whether neither the ledger nor another store knows a job without envelope and outcome."""
    settler = broom.settler
    result_key = settler.stores.result_key(job_id)
    return not (
        isinstance(settler.ledger.read(job_id), Record)
        # In the order in which healing moves it, or both may say no in turn.
        or _has(settler.stores.secondary, result_key)
        or _has(settler.stores.primary, result_key)
    )


def _take_orphans(broom: Broom, store: Storage, found: list[ObjectStat], *, delete: bool) -> None:
    if delete:
        broom.take("orphans", store, found)
    else:
        for stat in found:
            broom.count("orphans", stat.key, stat.size)


def _has(store: Storage, key: str) -> bool:
    try:
        store.stat(key)
    except ObjectNotFound:
        return False
    return True
