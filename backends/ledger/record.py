"""A job's record in Redis, read into Python."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Self, TypeVar

from pydantic import Field, JsonValue, TypeAdapter

from uploadmill.job import (
    Document,
    ErrorData,
    JobState,
    Name,
    Outcome,
    Placement,
    Receipt,
    ScanCertificate,
    Sha256,
    UploadJob,
)
from uploadmill.pipeline import Plan

#: Version of the record's layout. A worker of version N reads N and N-1.
RECORD_VERSION = 1

_D = TypeVar("_D", bound=Document)


class WorkFile(Document):
    """A file in a job's workspace, as the record names it.

    ``name`` is the file's name in the workspace; ``output`` what the job calls it. Type and size
    in pixels are known once a step has found them out.
    """

    name: str
    output: Name
    sha256: Sha256
    size: int
    content_type: str | None = None
    width: int | None = None
    height: int | None = None


class Note(Document):
    """What a finished step leaves in the record for the steps after it and for the result."""

    receipt: Receipt
    extracted: dict[str, JsonValue] = Field(default_factory=dict)
    content_type: str | None = None


WORK_FILES = TypeAdapter(tuple[WorkFile, ...])


@dataclass(frozen=True, slots=True)
class Record:
    """An open job as the ledger has it.

    Attributes:
        job: The job as it was enqueued.
        plan: None until the first pin has frozen it.
        step: The step to be run next, or running.
        workspace: The node and the id of the claim that pinned; names the job's folder.
        files: Of each finished step that made files.
        notes: Of each finished step, in the plan's order.
        cause: What is known of the last child that died at this step.
        running: Whether somebody's lease is live, by the ledger's clock at the time of reading.
    """

    version: int
    job: UploadJob
    step: str
    accepted_at: datetime
    plan: Plan | None = None
    node: str = ""
    workspace_id: str = ""
    src_sha256: str | None = None
    certificate: ScanCertificate | None = None
    files: Mapping[str, tuple[WorkFile, ...]] = field(default_factory=dict)
    notes: Mapping[str, Note] = field(default_factory=dict)
    error: ErrorData | None = None
    cause: ErrorData | None = None
    running: bool = False

    @classmethod
    def parse(cls, raw: Mapping[str, str], *, running: bool = False) -> Self:
        """Read the hash of an open job."""
        plan = Plan.model_validate_json(raw["plan"]) if raw.get("plan") else None
        done = plan.names if plan else ("pin",)
        return cls(
            version=int(raw["v"]),
            job=UploadJob.model_validate_json(raw["doc"]),
            step=raw["step"],
            accepted_at=datetime.fromtimestamp(float(raw["accepted_at"]) / 1000, UTC),
            plan=plan,
            node=raw.get("ws_node", ""),
            workspace_id=raw.get("ws_id", ""),
            src_sha256=raw.get("src_sha256") or None,
            certificate=_optional(ScanCertificate, raw.get("cert")),
            files={
                step: WORK_FILES.validate_json(raw[f"files:{step}"])
                for step in done
                if raw.get(f"files:{step}")
            },
            notes={
                step: Note.model_validate_json(raw[f"note:{step}"])
                for step in done
                if raw.get(f"note:{step}")
            },
            error=_optional(ErrorData, raw.get("error")),
            cause=_optional(ErrorData, raw.get(f"cause:{raw['step']}")),
            running=running,
        )

    @property
    def current(self) -> tuple[WorkFile, ...]:
        """The files as they stand: those of the last finished step that made any."""
        made = [files for files in self.files.values() if files]
        return made[-1] if made else ()

    @property
    def content_type(self) -> str | None:
        """The upload's type by its content, once a step has found it out."""
        found = [note.content_type for note in self.notes.values() if note.content_type]
        return found[-1] if found else None


@dataclass(frozen=True, slots=True)
class Ended:
    """A job that has ended, as the ledger has it."""

    outcome: Outcome
    location: Placement | None

    @classmethod
    def parse(cls, raw: Mapping[str, str]) -> Self:
        """Read the hash of an ended job."""
        return cls(
            outcome=Outcome.model_validate_json(raw["outcome"]),
            location=Placement(raw["location"]) if raw.get("location") else None,
        )

    @property
    def state(self) -> JobState:
        """How it ended."""
        return self.outcome.state


def _optional(model: type[_D], text: str | None) -> _D | None:
    return model.model_validate_json(text) if text else None
