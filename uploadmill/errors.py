"""Every error uploadmill raises, as one tree.

::

    UploadmillError
    ├── UploadRejected             the content is at fault; the job ends as rejected
    │   ├── UnsupportedMedia
    │   ├── CorruptUpload
    │   ├── SourceChanged
    │   └── LimitExceeded
    │       ├── SizeLimitExceeded
    │       ├── PixelLimitExceeded
    │       ├── TimeLimitExceeded
    │       └── MemoryLimitExceeded
    ├── InfectedUpload             the job ends as quarantined
    ├── UnscannableUpload          the same: nobody can say that it is clean
    ├── TransientError             the world outside is at fault: wait, try again, never end a job
    │   ├── StorageUnavailable
    │   ├── ScannerUnavailable
    │   ├── LedgerUnavailable
    │   └── WorkspaceUnavailable
    ├── StorageError               a store gave a definite answer that the caller did not want
    │   ├── ObjectNotFound
    │   ├── ObjectExists
    │   ├── ObjectChanged
    │   ├── InvalidKey
    │   ├── IntegrityError
    │   └── Unsupported
    ├── SourceMissing              the staged bytes are gone; the job ends as failed
    ├── StepError                  a step broke: our fault, counted, tried again a few times
    │   ├── StepFailed
    │   ├── StepTimeout
    │   └── UnknownStep            not by this worker; another one may know it
    ├── EnqueueError               what a producer hears when a job was not taken on
    │   ├── NotAccepted
    │   ├── AcceptanceUnknown
    │   ├── IdempotencyConflict
    │   ├── UnknownPipeline
    │   └── ReplayRefused
    ├── JobNotFound
    ├── JobNotEnded                the result was asked for, and there is none yet
    ├── InvalidSettings
    └── EmbeddedServerFailed       a server that we start ourselves is not there or does not start

An error's ``code`` is its class name in snake case; results, logs and exit messages carry it.
Messages name what is wrong and what to do, and never a credential or a signed address.
"""

from __future__ import annotations

import re
from typing import ClassVar


def _snake(name: str) -> str:
    return re.sub(r"(?<!^)(?=[A-Z])", "_", name).lower()


class UploadmillError(Exception):
    """The root of the tree; constructor arguments reach ``args``, so errors cross processes."""

    #: The class name in snake case; what results, logs and the command line show.
    code: ClassVar[str] = "uploadmill_error"
    #: True where the same call may succeed later without anybody changing anything.
    transient: ClassVar[bool] = False

    def __init_subclass__(cls) -> None:
        super().__init_subclass__()
        cls.code = _snake(cls.__name__)


class UploadRejected(UploadmillError):
    """Raised when the uploaded content is at fault; a processor of your own may raise it too."""


class UnsupportedMedia(UploadRejected):
    """Raised when the content is of a type that the pipeline does not take."""


class CorruptUpload(UploadRejected):
    """Raised when the content is of a known type but cannot be read as such."""


class SourceChanged(UploadRejected):
    """Raised when the staged object is no longer the one that was enqueued."""


class LimitExceeded(UploadRejected):
    """Raised when the content is larger than a limit allows.

    Attributes:
        limit: The limit, in the unit of the subclass.
        actual: What was found, in the same unit; None where reading stopped at the limit.
        what: What is larger; in a message.
    """

    unit: ClassVar[str] = "units"

    def __init__(self, limit: float, actual: float | None = None, what: str = "the upload") -> None:
        super().__init__(limit, actual, what)
        self.limit = limit
        self.actual = actual
        self.what = what

    def __str__(self) -> str:
        found = f"more than {self.limit:,}" if self.actual is None else f"{self.actual:,}"
        return f"{self.what} has {found} {self.unit}; the limit is {self.limit:,}"


class SizeLimitExceeded(LimitExceeded):
    """Raised when there are more bytes than allowed."""

    unit = "bytes"


class PixelLimitExceeded(LimitExceeded):
    """Raised when the header announces more pixels (times frames) than allowed."""

    unit = "pixels"


class TimeLimitExceeded(LimitExceeded):
    """Raised when decoding takes more seconds than allowed."""

    unit = "seconds of decoding"


class MemoryLimitExceeded(LimitExceeded):
    """Raised when decoding needs more memory than allowed."""

    unit = "bytes of memory"


class InfectedUpload(UploadmillError):
    """Raised when the scanner found something.

    Attributes:
        signature: The scanner's name for what it found.
        certificate: The scan certificate, for the result.
    """

    def __init__(self, signature: str, certificate: object = None) -> None:
        super().__init__(signature, certificate)
        self.signature = signature
        self.certificate = certificate

    def __str__(self) -> str:
        return f"the scanner found {self.signature}"


class UnscannableUpload(UploadmillError):
    """Raised when the scanner cannot look at all of this content, now or later.

    Attributes:
        reason: One of the permanent :class:`~uploadmill.job.NotScanned` reasons.
        certificate: The scan certificate, for the result.
    """

    def __init__(self, reason: str, certificate: object = None) -> None:
        super().__init__(reason, certificate)
        self.reason = reason
        self.certificate = certificate

    def __str__(self) -> str:
        return f"the upload cannot be scanned: {self.reason}"


class TransientError(UploadmillError):
    """Raised when something outside is down; the job waits and is tried again."""

    transient = True


class StorageUnavailable(TransientError):
    """Raised when a store gives no definite answer, or refuses everybody.

    Refused credentials, a missing bucket, a bad certificate and a full disk are this too, with
    ``retry_here`` False: another attempt at the same store is pointless, another store is not.

    Attributes:
        store: The store's configured name.
        reason: What happened, in a few words, without addresses or credentials.
        retry_here: Whether another attempt at this store within seconds makes sense.
    """

    def __init__(self, store: str, reason: str, retry_here: bool = True) -> None:  # noqa: FBT001, FBT002 - positional, as ``args`` brings it back
        super().__init__(store, reason, retry_here)
        self.store = store
        self.reason = reason
        self.retry_here = retry_here

    def __str__(self) -> str:
        return f"storage {self.store!r} is unavailable: {self.reason}"


class ScannerUnavailable(TransientError):
    """Raised when the scanner gave no valid answer.

    Attributes:
        reason: One of the passing :class:`~uploadmill.job.NotScanned` reasons.
    """

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason

    def __str__(self) -> str:
        return f"the scanner gave no valid answer: {self.reason}"


class LedgerUnavailable(TransientError):
    """Raised when Redis gives no answer."""


class WorkspaceUnavailable(TransientError):
    """Raised when the node's workspace cannot be written: its disk is full, or it is gone."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason

    def __str__(self) -> str:
        return f"the worker's workspace is unavailable: {self.reason}"


class StorageError(UploadmillError):
    """A definite answer of a store about one object.

    Attributes:
        store: The store's configured name.
        key: The object's key.
    """

    explanation: ClassVar[str] = "refused"

    def __init__(self, store: str, key: str, detail: str = "") -> None:
        super().__init__(store, key, detail)
        self.store = store
        self.key = key
        self.detail = detail

    def __str__(self) -> str:
        detail = f": {self.detail}" if self.detail else ""
        return f"storage {self.store!r}, key {self.key!r}: {self.explanation}{detail}"


class ObjectNotFound(StorageError):
    """Raised when there is no such object."""

    explanation = "no such object"


class ObjectExists(StorageError):
    """Raised by a create-only write when the key is taken."""

    explanation = "an object is there already"


class ObjectChanged(StorageError):
    """Raised when the object is not the one (etag or version) that was asked for."""

    explanation = "the object changed"


class InvalidKey(StorageError):
    """Raised when a key could leave the store's prefix, or cannot be stored everywhere."""

    explanation = "not a valid key"


class IntegrityError(StorageError):
    """Raised when bytes do not have the sha256 or size they should have."""

    explanation = "the bytes are not the expected ones"


class Unsupported(StorageError):
    """Raised, before any bytes move, when a store cannot do what was asked."""

    explanation = "this store cannot do that"


class SourceMissing(UploadmillError):
    """Raised when the staged object of an accepted job is no longer there."""

    def __init__(self, key: str) -> None:
        super().__init__(key)
        self.key = key

    def __str__(self) -> str:
        return f"the staged object {self.key!r} is gone"


class StepError(UploadmillError):
    """A step broke through no fault of the content.

    Attributes:
        step: The step's name.
        reason: What happened, in a few words.
    """

    def __init__(self, step: str, reason: str) -> None:
        super().__init__(step, reason)
        self.step = step
        self.reason = reason

    def __str__(self) -> str:
        return f"step {self.step!r} failed: {self.reason}"


class StepFailed(StepError):
    """Raised when a processor raises something that is not an :class:`UploadmillError`."""


class StepTimeout(StepError):
    """Raised when a step ran longer than its ``time_limit``."""


class UnknownStep(StepError):
    """Raised when this worker cannot run a step of a frozen plan; a newer one may."""

    def __init__(self, step: str, reason: str = "this worker has no such processor") -> None:
        super().__init__(step, reason)


class EnqueueError(UploadmillError):
    """A producer's job was not, or not certainly, taken on."""


class NotAccepted(EnqueueError):
    """Raised when nothing was accepted: the caller still owns the file and may ask again."""


class AcceptanceUnknown(EnqueueError):
    """Raised when the job may run or not; asking again with the same idempotency key is safe.

    Attributes:
        job_id: The job's id, to ask :meth:`Uploads.status` about later.
    """

    def __init__(self, job_id: str, reason: str) -> None:
        super().__init__(job_id, reason)
        self.job_id = job_id
        self.reason = reason

    def __str__(self) -> str:
        return (
            f"job {self.job_id} may have been accepted or not ({self.reason}); "
            "it may run. Asking again with the same idempotency key is safe"
        )


class IdempotencyConflict(EnqueueError):
    """Raised when the idempotency key was used before for a different upload."""

    def __init__(self, job_id: str) -> None:
        super().__init__(job_id)
        self.job_id = job_id

    def __str__(self) -> str:
        return f"this idempotency key belongs to another upload, job {self.job_id}; use a new key"


class UnknownPipeline(EnqueueError):
    """Raised when no pipeline has the name asked for.

    Attributes:
        name: The name asked for.
        known: The names there are.
    """

    def __init__(self, name: str, known: tuple[str, ...]) -> None:
        super().__init__(name, known)
        self.name = name
        self.known = known

    def __str__(self) -> str:
        return f"no pipeline is called {self.name!r}; there are: {', '.join(self.known)}"


class ReplayRefused(EnqueueError):
    """Raised when an ended job cannot be run again; nothing was accepted.

    Attributes:
        job_id: The job that was to be replayed.
        reason: Why not, in a few words.
    """

    def __init__(self, job_id: str, reason: str) -> None:
        super().__init__(job_id, reason)
        self.job_id = job_id
        self.reason = reason

    def __str__(self) -> str:
        return f"job {self.job_id} cannot be replayed: {self.reason}"


class JobNotFound(UploadmillError):
    """Raised when no job has this id, in the ledger or in any store."""

    def __init__(self, job_id: str) -> None:
        super().__init__(job_id)
        self.job_id = job_id

    def __str__(self) -> str:
        return f"no job has the id {self.job_id!r}"


class JobNotEnded(UploadmillError):
    """Raised when the result is asked for of a job that has not ended, or not in time.

    Attributes:
        job_id: The job's id.
        state: How it stood when last seen.
    """

    transient = True

    def __init__(self, job_id: str, state: str) -> None:
        super().__init__(job_id, state)
        self.job_id = job_id
        self.state = state

    def __str__(self) -> str:
        return f"job {self.job_id} has not ended: it is {self.state}"


class InvalidSettings(UploadmillError):
    """Raised when the configuration has mistakes; the message lists all of them.

    Attributes:
        mistakes: Each in a line of its own; the whole message where it is about one thing.
    """

    def __init__(self, what: str, listed: tuple[str, ...] = ()) -> None:
        super().__init__(what, listed)
        self.what = what
        self.mistakes = listed or (what,)

    def __str__(self) -> str:
        if self.mistakes == (self.what,):
            return self.what
        return f"{self.what}:\n" + "\n".join(f"  - {each}" for each in self.mistakes)


class EmbeddedServerFailed(UploadmillError):
    """Raised when a server that uploadmill brings along is not there or does not start.

    Attributes:
        server: Which one: ``valkey``, ``clamd``, ``flower``.
        reason: What happened and what to do.
    """

    def __init__(self, server: str, reason: str) -> None:
        super().__init__(server, reason)
        self.server = server
        self.reason = reason

    def __str__(self) -> str:
        return f"the embedded {self.server} cannot run: {self.reason}"
