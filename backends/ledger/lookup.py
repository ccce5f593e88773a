"""Find out how a job stands: the record, else the outcome, the stores, the envelope."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass

from uploadmill.backends.ledger import heal_queue
from uploadmill.backends.ledger.decisions import read_document
from uploadmill.backends.ledger.record import Ended, Record
from uploadmill.backends.ledger.settle import Settler
from uploadmill.backends.storage.roles import Stores
from uploadmill.errors import JobNotFound, LedgerUnavailable, StorageUnavailable
from uploadmill.job import JobResult, JobState, OutputFile, Placement


@dataclass(frozen=True, slots=True)
class JobStatus:
    """How a job stands.

    Attributes:
        step: The step that runs or waits, for an open job the ledger knows.
        result: Once the job has ended.
    """

    job_id: str
    state: JobState
    step: str | None = None
    result: JobResult | None = None


def status(settler: Settler, job_id: str) -> JobStatus:
    """How a job stands, read through from the ledger to the stores.

    A result found further down fills the ledger's cache again.

    Raises:
        JobNotFound: Neither ledger nor any store knows the job.
        StorageUnavailable: The ledger does not know it and a store does not answer.
    """
    record = _read(settler, job_id)
    if isinstance(record, Record):
        state = JobState.RUNNING if record.running else JobState.ACCEPTED
        return JobStatus(job_id, state, step=record.step)
    if isinstance(record, Ended):
        return _ended(settler.stores, job_id, record.outcome.result, record.location)
    return _status_from_stores(settler, job_id)


def _read(settler: Settler, job_id: str) -> Record | Ended | None:
    """The ledger's word, or None where it has none or does not answer."""
    try:
        return settler.ledger.read(job_id)
    except LedgerUnavailable:
        return None


def _status_from_stores(settler: Settler, job_id: str) -> JobStatus:
    found = _decided(settler, job_id) or _published(settler, job_id)
    if found is not None:
        return found
    if settler.decisions.envelope(job_id) is not None:
        return JobStatus(job_id, JobState.ACCEPTED)
    # No envelope: the job is unknown, or it has ended since the first look.
    found = _decided(settler, job_id)
    if found is None:
        raise JobNotFound(job_id)
    return found


def _decided(settler: Settler, job_id: str) -> JobStatus | None:
    """The outcome's word; the ledger remembers it if it can."""
    decision = settler.decisions.outcome(job_id)
    if decision is None:
        return None
    location = decision.outcome.placed
    with suppress(LedgerUnavailable, StorageUnavailable):
        location = settler.remember(decision).location
    return _ended(settler.stores, job_id, decision.outcome.result, location)


def _published(settler: Settler, job_id: str) -> JobStatus | None:
    """The word of ``result.json``, which outlives the outcome."""
    stores = settler.stores
    for placed in (Placement.PRIMARY, Placement.SECONDARY):
        document = read_document(stores.at(placed), stores.result_key(job_id))
        if document is not None:
            if placed is Placement.SECONDARY:
                with suppress(LedgerUnavailable):
                    heal_queue.put(settler.ledger, [job_id], 0, only="new")
            return _ended(stores, job_id, JobResult.model_validate_json(document), placed)
    return None


def _ended(stores: Stores, job_id: str, result: JobResult, location: Placement | None) -> JobStatus:
    return JobStatus(job_id, result.state, result=_located(stores, result, location))


def _located(stores: Stores, result: JobResult, location: Placement | None) -> JobResult:
    """*result* with each output's store and public address filled in."""
    if location is None or location is Placement.RECALLED:
        return result
    store = stores.at(location)

    def placed(output: OutputFile) -> OutputFile:
        return output.model_copy(update={"store": location.value, "url": store.url(output.key)})

    outputs = {name: placed(output) for name, output in result.outputs.items()}
    return result.model_copy(update={"outputs": outputs})
