"""The second half of an enqueue: staged bytes become an accepted job.

The order of the effects is the promise: once the envelope stands the job may run, so it is
never taken back, and every failure from there on says so instead of pretending otherwise.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta

from uploadmill.errors import (
    AcceptanceUnknown,
    EnqueueError,
    IdempotencyConflict,
    ObjectNotFound,
    TransientError,
)
from uploadmill.job import Envelope, JobState, Outcome
from uploadmill.producer.clients import Clients
from uploadmill.producer.payload import same_upload
from uploadmill.producer.staging import Staged

log = logging.getLogger("uploadmill.producer")


@dataclass(frozen=True, slots=True)
class Job:
    """An accepted job.

    Attributes:
        id: What to ask for it by; keep it.
        state: ``accepted``, or how the job ended where an equal request came before.
    """

    id: str
    state: JobState = JobState.ACCEPTED


def accept(clients: Clients, staged: Staged) -> Job:
    """Steps 3 to 9 of the order of effects; the numbers are those of docs/design.md.

    Raises:
        AcceptanceUnknown: Something failed on the way; the job may run.
        IdempotencyConflict: The job id belongs to another upload.
    """
    with _uncertain(staged.id):
        standing = clients.decisions.put_envelope(staged.envelope)  # 3
        if standing.payload_hash != staged.envelope.payload_hash:
            _conflict(clients, staged)
        if staged.derived and (decision := clients.decisions.outcome(staged.id)):  # 4
            return _as_it_ended(clients, staged, decision.outcome)
        if staged.age > clients.settings.ledger.stage_fresh:  # 5
            raise AcceptanceUnknown(staged.id, "its staged bytes are too old; stage them again")
        answer = clients.ledger.accept(standing.job, standing.payload_hash)  # 6
        if answer.name == "conflict":
            _conflict(clients, staged)
        if answer.outcome is not None:
            return _as_it_ended(clients, staged, answer.outcome)
        if standing.job.staged.key != staged.key and (job := _join(clients, staged)):  # 7
            return job
    clients.publisher.publish(staged.id)  # 8
    return Job(staged.id)  # 9


@contextmanager
def _uncertain(job_id: str) -> Iterator[None]:
    """From the envelope on, nobody can say of a failure that the job will not run."""
    try:
        yield
    except EnqueueError:
        raise
    except TransientError as error:
        raise AcceptanceUnknown(job_id, str(error)) from error
    except Exception as error:
        raise AcceptanceUnknown(job_id, type(error).__name__) from error


def _conflict(clients: Clients, staged: Staged) -> None:
    _drop_bytes(clients, staged)
    raise IdempotencyConflict(staged.id)


def _as_it_ended(clients: Clients, staged: Staged, outcome: Outcome) -> Job:
    """An equal request came before and its job has ended.

    Or it was this very one, which reconcile took on before it could itself; then its bytes are
    the job's, kept for a replay. An envelope that this request wrote stays: reconcile finds the
    outcome and removes it.
    """
    if not same_upload(outcome.job, staged.envelope.job):
        _conflict(clients, staged)
    if outcome.job.staged.key != staged.key:
        _drop_bytes(clients, staged)
    return Job(staged.id, outcome.state)


def _join(clients: Clients, staged: Staged) -> Job | None:
    """Make sure that the job joined will run, and drop the bytes that it does not need.

    Its creator may have died, or may have been so slow that the bytes of its envelope are about
    to be collected; only an envelope that still stands, with fresh bytes, is trusted.

    Returns:
        The job as it ended, or None where it is open.
    """
    standing = clients.decisions.envelope(staged.id)
    if standing is None:
        decision = clients.decisions.outcome(staged.id)
        if decision is None:
            raise AcceptanceUnknown(staged.id, "the request it joined is gone")
        return _as_it_ended(clients, staged, decision.outcome)
    if not _fresh(clients, staged, standing):
        raise AcceptanceUnknown(staged.id, "the staged bytes of the request it joined are old")
    _drop_bytes(clients, staged)
    return None


def _fresh(clients: Clients, staged: Staged, standing: Envelope) -> bool:
    """Whether the bytes of *standing* are younger than ``stage_fresh``, by the store's clock."""
    staging = clients.stores.staging
    try:
        theirs = staging.stat(standing.job.staged.key).modified
    except ObjectNotFound:
        return False
    age = staging.stat(staged.key).modified - theirs + timedelta(seconds=staged.age)
    return age < timedelta(seconds=clients.settings.ledger.stage_fresh)


def _drop_bytes(clients: Clients, staged: Staged) -> None:
    """Remove bytes that no job will read; what stays because of a fault, gc finds."""
    try:
        clients.stores.staging.delete(staged.key)
    except TransientError as error:
        log.warning("own_bytes_stay", extra={"job": staged.id, "reason": str(error)})
