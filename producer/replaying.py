"""Run again what ended badly: a new job on a copy of the old one's kept bytes.

It is an enqueue whose upload lies in the staging store already, so it takes the same order of
effects (:mod:`uploadmill.producer.acceptance`). The new id is derived from the old one and the
number of the replay: whoever replays the same job at the same time joins, and a replay that was
killed anywhere is taken up where it stood.
"""

from __future__ import annotations

from datetime import UTC, datetime

from uploadmill.backends.ledger.decisions import upload_key
from uploadmill.backends.storage.base import Storage
from uploadmill.backends.storage.objects import ObjectStat
from uploadmill.errors import (
    JobNotEnded,
    JobNotFound,
    NotAccepted,
    ObjectNotFound,
    ReplayRefused,
)
from uploadmill.ids import derived_job_id, new_nonce
from uploadmill.job import Envelope, JobState, Outcome, UploadJob
from uploadmill.producer.acceptance import Job, accept
from uploadmill.producer.clients import Clients
from uploadmill.producer.payload import payload_hash
from uploadmill.producer.staging import Staged, bound, copy_staged, nothing_accepted, now

#: Ends after which a job may be replayed. Not quarantined: those bytes are infected.
REPLAYABLE = (JobState.FAILED, JobState.REJECTED, JobState.CANCELLED)


def replay(clients: Clients, job_id: str) -> Job:
    """Accept a new job for the bytes of *job_id*, or find the one that was accepted before.

    Raises:
        ReplayRefused: It did not end badly, or its bytes are gone.
        JobNotEnded: It is still open.
        JobNotFound: There is no such job.
        NotAccepted: Redis or the staging store is out.
        AcceptanceUnknown: The new job may run.
    """
    with nothing_accepted():
        clients.ledger.probe()
        old = _ended_badly(clients, job_id)
        new_id, done = _unused(clients, job_id)
        if done is not None:
            return Job(new_id, done.state)
        since = now()
        job = _copied(clients.stores.staging, old, new_id)
    staged = Staged(Envelope(job=job, payload_hash=payload_hash(job)), derived=True, since=since)
    return accept(clients, staged)


def _ended_badly(clients: Clients, job_id: str) -> UploadJob:
    """The job to be replayed, by the word of its outcome."""
    decision = clients.decisions.outcome(job_id)
    if decision is None:
        if clients.decisions.envelope(job_id) is not None:
            raise JobNotEnded(job_id, JobState.ACCEPTED)
        raise JobNotFound(job_id)
    outcome = decision.outcome
    if outcome.state not in REPLAYABLE:
        raise ReplayRefused(job_id, f"it ended as {outcome.state}")
    return outcome.job


def _unused(clients: Clients, job_id: str) -> tuple[str, Outcome | None]:
    """The id of the first replay that did not end badly, and how it ended where it did.

    A replay that is open, or that nobody has begun, is *accept*'s to join or to create.
    """
    number = 0
    while True:
        new_id = derived_job_id(job_id, "replay", str(number))
        decision = clients.decisions.outcome(new_id)
        if decision is None:
            return new_id, None
        if decision.outcome.state not in REPLAYABLE:
            return new_id, decision.outcome
        number += 1


def _copied(staging: Storage, old: UploadJob, new_id: str) -> UploadJob:
    """The new job with its own copy of the very bytes that the old one had."""
    target = upload_key(new_id, new_nonce())
    try:
        kept = staging.stat(old.staged.key)
        if not _the_same(kept, old):
            raise ReplayRefused(old.id, "its staged bytes were overwritten")
        copy = copy_staged(staging, bound(kept), target)
    except ObjectNotFound:
        raise ReplayRefused(old.id, "its bytes are no longer kept; upload them again") from None
    if not _the_same(copy, old, same_object=False):
        staging.delete(target)
        raise NotAccepted(f"the copy of job {old.id}'s bytes is not like them; try again")
    return old.model_copy(
        update={
            "id": new_id,
            "staged": bound(copy),
            "enqueued_at": datetime.now(UTC),
            "replay_of": old.id,
        }
    )


def _the_same(found: ObjectStat, old: UploadJob, *, same_object: bool = True) -> bool:
    """Whether an object has the bytes that *old* was enqueued with.

    The etag of a copy may differ, as stores make it of how an object was written.
    """
    staged = old.staged
    pairs = [(found.size, staged.size), (found.sha256, staged.sha256)]
    if same_object:
        pairs += [(found.etag, staged.etag), (found.version, staged.version)]
    return all(expected in (None, actual) for actual, expected in pairs)
