"""How a job could end: outcomes as they are proposed, before the staging store decides."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta

from uploadmill.backends.ledger.record import Note, Record
from uploadmill.errors import UploadmillError
from uploadmill.job import (
    ErrorData,
    JobResult,
    JobState,
    JobTimes,
    Outcome,
    OutputFile,
    Placement,
    ScanCertificate,
    UploadJob,
)
from uploadmill.settings import LedgerSettings


def error_data(error: UploadmillError, step: str | None) -> ErrorData:
    """An error as results and records carry it."""
    return ErrorData(code=error.code, step=step, message=str(error), retryable=error.transient)


def stored(
    record: Record, outputs: Mapping[str, OutputFile], placed: Placement, commit: Note
) -> Outcome:
    """The outputs are in the store that *placed* names."""
    result = _result(record.job, JobState.STORED, record, commit)
    result = result.model_copy(update={"outputs": dict(outputs)})
    return Outcome(job=record.job, state=JobState.STORED, result=result, placed=placed)


def quarantined(record: Record, error: ErrorData, certificate: ScanCertificate | None) -> Outcome:
    """The bytes are infected, or nobody can say that they are not; a copy is in quarantine."""
    result = _result(record.job, JobState.QUARANTINED, record).model_copy(
        update={"error": error, "certificate": certificate}
    )
    return Outcome(job=record.job, state=JobState.QUARANTINED, result=result)


def ended_badly(
    job: UploadJob,
    state: JobState,
    constants: LedgerSettings,
    error: ErrorData | None = None,
    record: Record | None = None,
) -> Outcome:
    """Rejected, failed or cancelled: the staged bytes stay for a while."""
    keep = constants.keep_failed if state is JobState.FAILED else constants.keep_rejected
    result = _result(job, state, record).model_copy(update={"error": error})
    return Outcome(
        job=job,
        state=state,
        result=result,
        keep_until=datetime.now(UTC) + timedelta(seconds=keep),
    )


def cancelled(job: UploadJob, constants: LedgerSettings, record: Record | None = None) -> Outcome:
    """Somebody asked for it."""
    return ended_badly(job, JobState.CANCELLED, constants, record=record)


def from_ending(ending: str, record: Record, constants: LedgerSettings) -> Outcome:
    """What the ledger's ``end`` answer proposes: ``cancelled`` or ``failed:<code>``."""
    if ending == JobState.CANCELLED:
        return cancelled(record.job, constants, record)
    code = ending.removeprefix("failed:")
    last = record.error
    if last is not None and last.code == code:
        error = last
    else:
        message = _EXPLANATIONS.get(code, "the job was given up")
        if code == "poison" and record.cause is not None:
            message = f"{message}; the last one: {record.cause.message}"
        error = ErrorData(code=code, step=record.step, message=message)
    return ended_badly(record.job, JobState.FAILED, constants, error, record)


_EXPLANATIONS = {
    "deadline": "the job did not end before its deadline",
    "poison": "this step killed its worker too often; the staged bytes are kept",
}


def _result(
    job: UploadJob, state: JobState, record: Record | None, last: Note | None = None
) -> JobResult:
    """The result as far as the finished steps have it, plus the note of the *last* one."""
    notes = [*(record.notes.values() if record else ()), *([last] if last else ())]
    return JobResult(
        job_id=job.id,
        pipeline=job.pipeline,
        state=state,
        filename=job.filename,
        owner=job.owner,
        metadata=job.metadata,
        replay_of=job.replay_of,
        extracted={name: value for note in notes for name, value in note.extracted.items()},
        certificate=record.certificate if record else None,
        receipts=tuple(note.receipt for note in notes),
        times=JobTimes(
            enqueued_at=job.enqueued_at,
            accepted_at=record.accepted_at if record else None,
            ended_at=datetime.now(UTC),
        ),
    )
