"""What travels and what is kept: upload jobs, their results, and the parts of both.

Every document is JSON with a ``version``. Unknown fields are refused, so that a typing mistake
or a newer producer is noticed here and not three steps later.
"""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum
from typing import Annotated, Literal

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    JsonValue,
    StringConstraints,
)

#: Seconds after acceptance at which a job that has not ended is given up: 24 hours.
DEADLINE = 86_400.0

#: Version of the documents in this module. A worker of version N reads N and N-1.
VERSION: Literal[1] = 1

JobId = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$")]
Sha256 = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{64}$")]
Name = Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9_-]{0,62}$")]


def _encodable(text: str) -> str:
    """Half of a surrogate pair, as JSON from a client may hold, cannot be written down again."""
    text.encode()
    return text


Text = Annotated[str, AfterValidator(_encodable)]


def _is_none(value: object) -> bool:
    return value is None


class Document(BaseModel):
    """A frozen JSON document that refuses fields it does not know."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class JobState(StrEnum):
    """Where a job stands. ``accepted`` and ``running`` are open, all others are final."""

    ACCEPTED = "accepted"
    RUNNING = "running"
    STORED = "stored"
    REJECTED = "rejected"
    QUARANTINED = "quarantined"
    FAILED = "failed"
    CANCELLED = "cancelled"

    @property
    def ended(self) -> bool:
        """Whether the job has ended and will not change any more."""
        return self not in (JobState.ACCEPTED, JobState.RUNNING)


class StagedObject(Document):
    """A reference to the staged bytes: a store by its configured name and a key inside its prefix.

    ``etag`` or ``version`` bind the reference to one state of the object, ``sha256`` (where the
    producer computed it) to its very bytes.
    """

    store: Name = "staging"
    key: str
    etag: str | None = None
    version: str | None = None
    size: int = Field(ge=0, description="bytes")
    sha256: Sha256 | None = None


class UploadJob(Document):
    """One upload to be worked on."""

    version: Literal[1] = VERSION
    id: JobId
    pipeline: Name
    staged: StagedObject
    filename: Annotated[str, StringConstraints(max_length=1024)] | None = Field(
        default=None, description="for display only; no path is ever made of it"
    )
    declared_type: Annotated[str, StringConstraints(max_length=255)] | None = Field(
        default=None, description="the media type the client claimed; only ever compared"
    )
    metadata: dict[Text, Text] = Field(default_factory=dict, description="the web app's own")
    owner: Annotated[str, StringConstraints(max_length=255)] | None = None
    deadline: float = Field(default=DEADLINE, gt=0, description="seconds after acceptance")
    enqueued_at: datetime
    replay_of: JobId | None = Field(
        default=None,
        # Written only where it says something: an older version refuses fields it does not know.
        exclude_if=_is_none,
        description="the job that ended badly and whose bytes this one takes up again",
    )


class NotScanned(StrEnum):
    """Why there is no verdict. The first three are about the file, the others about the scanner."""

    LIMIT_EXCEEDED = "limit_exceeded"
    ENCRYPTED = "encrypted"
    SCAN_REFUSED = "scan_refused"
    REFUSED_CONNECTION = "refused_connection"
    TIMED_OUT = "timed_out"
    NO_REPLY = "no_reply"
    TRUNCATED_REPLY = "truncated_reply"
    UNKNOWN_REPLY = "unknown_reply"
    SCANNER_ERROR = "scanner_error"

    @property
    def permanent(self) -> bool:
        """Whether asking again would give the same answer, because the file is the reason."""
        return self in (NotScanned.LIMIT_EXCEEDED, NotScanned.ENCRYPTED, NotScanned.SCAN_REFUSED)


class ScanCertificate(Document):
    """What was scanned, by what, and what it said."""

    sha256: Sha256 = Field(description="of the bytes as the scanner got them")
    verdict: Literal["clean", "infected", "not_scanned"]
    reason: NotScanned | None = None
    signature: str | None = Field(default=None, description="the scanner's name for what it found")
    engine: str = Field(description="engine and version, such as 'ClamAV 1.4.6'")
    signatures: str = Field(description="which signature database, as the engine names it")
    scanned_at: datetime


class Receipt(Document):
    """What one step did to the file."""

    step: Name
    ms: float = Field(ge=0, description="wall time of the step")
    bytes_in: int = Field(ge=0)
    bytes_out: int = Field(ge=0)
    changed: str | None = Field(default=None, description="what became different, in a few words")


class OutputFile(Document):
    """A named file that the job produced.

    ``store`` and ``url`` are filled in when the result is read, from where the record says the
    outputs are now; the stored result never names a store.
    """

    key: str
    content_type: str
    size: int = Field(ge=0, description="bytes")
    sha256: Sha256
    width: int | None = Field(default=None, description="pixels")
    height: int | None = Field(default=None, description="pixels")
    store: Name | None = None
    url: str | None = None


class ErrorData(Document):
    """An error as data: ``code`` names the class, ``step`` where it happened."""

    code: str
    step: Name | None = None
    message: str
    retryable: bool = False


class JobTimes(Document):
    """When things happened. ``accepted_at`` is the ledger's clock, the others their process's."""

    enqueued_at: datetime
    accepted_at: datetime | None = None
    ended_at: datetime | None = None


class JobResult(Document):
    """What came of a job; the same document in the ledger, the outcome and beside the outputs."""

    version: Literal[1] = VERSION
    job_id: JobId
    pipeline: Name
    state: JobState
    filename: str | None = None
    owner: str | None = None
    metadata: dict[Text, Text] = Field(default_factory=dict, description="the web app's own")
    outputs: dict[Name, OutputFile] = Field(default_factory=dict)
    extracted: dict[str, JsonValue] = Field(
        default_factory=dict, description="what the steps found out, merged in their order"
    )
    certificate: ScanCertificate | None = None
    receipts: tuple[Receipt, ...] = ()
    error: ErrorData | None = None
    times: JobTimes
    replay_of: JobId | None = Field(default=None, exclude_if=_is_none)


class Placement(StrEnum):
    """Which store, by its role, holds a job's outputs."""

    PRIMARY = "primary"
    SECONDARY = "secondary"
    RECALLED = "recalled"


class Envelope(Document):
    """The durable intent: everything needed to run the job again with Redis empty."""

    version: Literal[1] = VERSION
    job: UploadJob
    payload_hash: Sha256


class Outcome(Document):
    """The durable decision how a job ended; its create-only object is the arbiter."""

    version: Literal[1] = VERSION
    job: UploadJob
    state: JobState
    result: JobResult
    placed: Placement | None = Field(default=None, description="for stored jobs only")
    keep_until: datetime | None = Field(
        default=None, description="until when the staged bytes stay; None: they go at once"
    )
