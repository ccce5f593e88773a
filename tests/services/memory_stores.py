"""Stores in memory that can be out, lie about a write, or kill whoever calls them."""

from collections.abc import Callable
from contextlib import contextmanager
from datetime import timedelta
from typing import Any

from services.timed_ledger import NOW, PAYLOAD, SHA256, certificate, new_job, note
from uploadmill.backends.ledger import proposals
from uploadmill.backends.ledger.record import Record
from uploadmill.backends.ledger.settle import Settler
from uploadmill.backends.storage.memory import MemoryStorage
from uploadmill.backends.storage.roles import Stores
from uploadmill.errors import StorageUnavailable
from uploadmill.job import Envelope, ErrorData, JobState, Outcome, OutputFile, Placement, UploadJob
from uploadmill.settings import LedgerSettings

PUBLIC = "https://cdn.example.com/"
CONTENT = b"hello bytes"


class MoodyStorage(MemoryStorage):
    """A memory store that a test can put out of order."""

    #: No call is answered.
    out = False
    #: So many of the next writes are done and then reported as failed.
    unclear_writes = 0
    #: Writes are refused for good; nothing else is.
    full = False

    def put(self, key: str, *args: Any, **kwargs: Any) -> Any:
        self._answer(refused=self.full)
        stat = super().put(key, *args, **kwargs)
        if self.unclear_writes:
            self.unclear_writes -= 1
            raise StorageUnavailable(self.name, "the reply was lost")
        return stat

    @contextmanager
    def open(self, *args: Any, **kwargs: Any) -> Any:
        self._answer()
        with super().open(*args, **kwargs) as reader:
            yield reader

    def stat(self, key: str) -> Any:
        self._answer()
        return super().stat(key)

    def delete(self, *keys: str, **options: Any) -> None:
        self._answer()
        super().delete(*keys, **options)

    def list(self, prefix: str = "") -> Any:
        self._answer()
        return super().list(prefix)

    def ping(self) -> None:
        self._answer()

    def keys(self) -> set[str]:
        """What is there, however out the store is."""
        return {stat.key for stat in super().list()}

    def _answer(self, *, refused: bool = False) -> None:
        if self.out or refused:
            raise StorageUnavailable(self.name, "out, says the test", retry_here=not refused)


class Died(BaseException):
    """The process was killed: nothing catches this."""


class Countdown:
    """How many more calls this process lives for; None: for ever."""

    def __init__(self, calls: int | None = None) -> None:
        self.calls = calls

    def tick(self) -> None:
        if self.calls is not None:
            self.calls -= 1
            if self.calls == 0:
                raise Died


class Mortal:
    """Whatever *inner* is, seen by a process that dies right after one of its calls."""

    def __init__(self, inner: object, countdown: Countdown) -> None:
        self._inner = inner
        self._countdown = countdown

    def __getattr__(self, name: str) -> Any:
        value = getattr(self._inner, name)
        return self._counted(value) if callable(value) else value

    def _counted(self, method: Callable[..., Any]) -> Callable[..., Any]:
        def call(*args: Any, **kwargs: Any) -> Any:
            answer = method(*args, **kwargs)
            self._countdown.tick()
            return answer

        return call


ROLES = ("staging", "primary", "secondary", "quarantine")


def memory_stores() -> Stores:
    return Stores(
        **{role: MoodyStorage(role, public_url=f"{PUBLIC}{role}/") for role in ROLES},
        prefix="media/",
    )


def mortal(settler: Settler, countdown: Countdown) -> Settler:
    """The same settler in a process that is going to die."""
    stores = {role: Mortal(getattr(settler.stores, role), countdown) for role in ROLES}
    return Settler(
        Mortal(settler.ledger, countdown), Stores(**stores, prefix=settler.stores.prefix)
    )


def enqueued(settler: Settler) -> UploadJob:
    """A job as a producer leaves it: staged bytes, envelope, record."""
    job = new_job()
    settler.stores.staging.put(job.staged.key, CONTENT)
    settler.decisions.put_envelope(Envelope(job=job, payload_hash=PAYLOAD))
    settler.ledger.accept(job, PAYLOAD)
    return job


def output(stores: Stores, job: UploadJob, sha256: str = SHA256) -> OutputFile:
    key = stores.output_key(job.id, f"original-{sha256[:32]}.txt")
    return OutputFile(key=key, content_type="text/plain", size=len(CONTENT), sha256=sha256)


def storing(
    stores: Stores, job: UploadJob, placed: Placement = Placement.PRIMARY, sha256: str = SHA256
) -> tuple[Outcome, list[tuple[Placement, str]]]:
    """Put an output as ``commit`` does; the proposal and what was put."""
    made = output(stores, job, sha256)
    stores.at(placed).put(made.key, CONTENT)
    record = Record(version=1, job=job, step="commit", accepted_at=NOW, certificate=certificate())
    proposal = proposals.stored(record, {"original": made}, placed, note("commit"))
    return proposal, [(placed, made.key)]


def rejecting(job: UploadJob) -> Outcome:
    error = ErrorData(code="corrupt_upload", step="validate", message="it is cut off")
    return proposals.ended_badly(job, JobState.REJECTED, LedgerSettings(), error)


def missing_source(job: UploadJob) -> Outcome:
    error = ErrorData(code="source_missing", step="pin", message="it is gone")
    return proposals.ended_badly(job, JobState.FAILED, LedgerSettings(), error)


def quarantining(job: UploadJob, verdict: str = "infected") -> Outcome:
    record = Record(version=1, job=job, step="scan", accepted_at=NOW + timedelta(seconds=1))
    error = ErrorData(code="infected_upload", step="scan", message="the scanner found Test")
    return proposals.quarantined(record, error, certificate(verdict))
