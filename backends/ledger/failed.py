"""The jobs that failed: what an operator looks at, and replays once the cause is mended."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import cast

from uploadmill.backends.ledger.ledger import Ledger
from uploadmill.backends.ledger.names import FAILED, JOB
from uploadmill.backends.ledger.scripts import serving
from uploadmill.backends.ledger.settle import Settler
from uploadmill.ids import is_job_id
from uploadmill.job import JobState, Outcome
from uploadmill.wire import UPLOADS

#: Records read from Redis in one call.
PAGE = 200


@dataclass(frozen=True, slots=True)
class FailedJob:
    """A job that failed, as its outcome has it.

    Attributes:
        code: Of the error; ``poison`` where a step killed its workers.
        keep_until: Until when its bytes are kept, so that it can be replayed.
    """

    job_id: str
    code: str
    step: str | None
    message: str
    pipeline: str
    filename: str | None
    ended_at: datetime | None
    keep_until: datetime | None


def failed_jobs(ledger: Ledger, code: str | None = None) -> Iterator[FailedJob]:
    """The failed jobs that Redis still has results of, the latest first, read page by page.

    Args:
        ledger: Where the records are.
        code: Only those with this error code.

    Raises:
        LedgerUnavailable: Redis does not serve us.
    """
    with serving():
        ids = cast("list[str]", ledger.redis.zrevrange(FAILED, 0, -1))
    for start in range(0, len(ids), PAGE):
        for document in _outcomes(ledger, ids[start : start + PAGE]):
            job = _failed(Outcome.model_validate_json(document))
            if code in (None, job.code):
                yield job


def refill(settler: Settler) -> int:
    """Let an emptied Redis know again which jobs failed; returns how many it had forgotten.

    Found by the bytes that are kept of them, so no more than the jobs of the last days are
    looked at, and of those only the ones that are open or ended badly.

    Raises:
        StorageUnavailable: The staging store does not answer.
        LedgerUnavailable: Redis does not serve us.
    """
    forgotten = 0
    for job_id in _with_bytes(settler):
        if settler.ledger.read(job_id) is not None:
            continue
        decision = settler.decisions.outcome(job_id)
        if decision is not None and decision.outcome.state is JobState.FAILED:
            settler.remember(decision)
            forgotten += 1
    return forgotten


def _outcomes(ledger: Ledger, ids: list[str]) -> list[str]:
    """The outcomes of those *ids* whose records have not expired."""
    with serving(), ledger.redis.pipeline(transaction=False) as pipe:
        for job_id in ids:
            pipe.hget(JOB + job_id, "outcome")
        return [document for document in pipe.execute() if document is not None]


def _failed(outcome: Outcome) -> FailedJob:
    error = outcome.result.error
    return FailedJob(
        job_id=outcome.job.id,
        code=error.code if error else "",
        step=error.step if error else None,
        message=error.message if error else "",
        pipeline=outcome.job.pipeline,
        filename=outcome.job.filename,
        ended_at=outcome.result.times.ended_at,
        keep_until=outcome.keep_until,
    )


def _with_bytes(settler: Settler) -> Iterator[str]:
    """Each job that has staged bytes, once."""
    last = ""
    for stat in settler.stores.staging.list(UPLOADS):
        job_id = stat.key.removeprefix(UPLOADS).partition("/")[0]
        if job_id != last and is_job_id(job_id):
            last = job_id
            yield job_id
