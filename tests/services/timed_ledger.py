"""A ledger whose time stands still until a test lets it pass, and jobs to put into it."""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime

from uploadmill.backends.ledger import proposals
from uploadmill.backends.ledger.answers import Go
from uploadmill.backends.ledger.decisions import Decision, upload_key
from uploadmill.backends.ledger.ledger import Ledger
from uploadmill.backends.ledger.names import JOB, OPEN
from uploadmill.backends.ledger.record import Note, WorkFile
from uploadmill.ids import new_job_id, new_nonce
from uploadmill.job import (
    ErrorData,
    JobState,
    Outcome,
    Receipt,
    ScanCertificate,
    StagedObject,
    UploadJob,
)
from uploadmill.pipeline import ExtractMetadata, Plan, Scan, Validate
from uploadmill.settings import LedgerSettings

NOW = datetime(2027, 1, 15, 8, 0, tzinfo=UTC)
SHA256 = "a" * 64
OTHER_SHA256 = "b" * 64
PAYLOAD = "c" * 64
NODE = "node-1"
OTHER_NODE = "node-2"

PLAN = Plan.of("document", [Validate(), Scan(), ExtractMetadata()])
UNSCANNED_PLAN = Plan.of("document", [Validate()])

#: Redis' key with the milliseconds of the ledger's clock.
CLOCK = "test:now"


class TimedLedger(Ledger):
    """The ledger with one Lua text replaced: its clock."""

    def text(self, name: str) -> str:
        if name == "clock":
            return f"local function clock() return tonumber(redis.call('GET', '{CLOCK}')) end"
        return super().text(name)

    def now(self) -> float:
        """Seconds since 1970 by the ledger's clock."""
        return int(self.redis.get(CLOCK)) / 1000

    def pass_time(self, seconds: float) -> None:
        self.redis.incrby(CLOCK, round(seconds * 1000))

    def field(self, job: UploadJob, name: str) -> str | None:
        return self.redis.hget(JOB + job.id, name)

    def looked_at_in(self, job: UploadJob) -> float | None:
        """Seconds until somebody must look at the job; None where nobody will."""
        score = self.redis.zscore(OPEN, job.id)
        return None if score is None else score / 1000 - self.now()


@contextmanager
def timed_ledger(url: str, **constants: float) -> Iterator[TimedLedger]:
    ledger = TimedLedger(url, LedgerSettings(**constants))
    # A round number: Redis writes such a one as 1.8e+12 when a script is not careful.
    ledger.redis.set(CLOCK, 1_800_000_000_000)
    try:
        yield ledger
    finally:
        ledger.close()


def new_job(**changes) -> UploadJob:
    job_id = new_job_id()
    facts = {
        "id": job_id,
        "pipeline": "document",
        "staged": StagedObject(key=upload_key(job_id, new_nonce()), size=11),
        "enqueued_at": NOW,
    }
    return UploadJob(**{**facts, **changes})


def accepted(ledger: Ledger, **changes) -> UploadJob:
    job = new_job(**changes)
    assert ledger.accept(job, PAYLOAD).name == "new"
    return job


def claimed(ledger: Ledger, job: UploadJob, node: str = NODE) -> Go:
    answer = ledger.claim(job.id, node, new_nonce())
    assert isinstance(answer, Go), answer
    return answer


def note(step: str, **changes) -> Note:
    return Note(receipt=Receipt(step=step, ms=1.5, bytes_in=11, bytes_out=11), **changes)


def pinned_file() -> WorkFile:
    return WorkFile(name="pin-1-x-original", output="original", sha256=SHA256, size=11)


def certificate(verdict: str = "clean", sha256: str = SHA256) -> ScanCertificate:
    return ScanCertificate(
        sha256=sha256, verdict=verdict, engine="ClamAV 1", signatures="27000", scanned_at=NOW
    )


def handed_in(ledger: Ledger, job: UploadJob, token: str, step: str, **changes):
    """Complete *step* as a worker does, and return the ledger's answer."""
    facts = {"next_nonce": new_nonce(), "note": note(step), "plan": PLAN, "src_sha256": SHA256}
    if step == "pin":
        facts["made"] = [pinned_file()]
    if step == "scan":
        facts["certificate"] = certificate()
    return ledger.complete(job.id, token, step, **{**facts, **changes})


def brought_to(ledger: Ledger, job: UploadJob, step: str, node: str = NODE) -> Go:
    """A worker that has claimed the job and stands before *step*."""
    go = claimed(ledger, job, node)
    while go.step != step:
        go = handed_in(ledger, job, go.token, go.step)
        assert isinstance(go, Go), go
    return go


def rejection(job: UploadJob, message: str = "not a picture") -> Decision:
    error = ErrorData(code="unsupported_media", step="validate", message=message)
    return decided(proposals.ended_badly(job, JobState.REJECTED, LedgerSettings(), error))


def decided(outcome: Outcome) -> Decision:
    return Decision(outcome, outcome.model_dump_json().encode())


def finished(ledger: Ledger, job: UploadJob) -> Decision:
    """End the job as rejected, in the ledger alone."""
    decision = rejection(job)
    ledger.finish(decision.outcome, decision.document, decision.digest, None)
    return decision
