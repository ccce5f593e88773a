"""Put the outputs into the primary store, or all of them into the secondary; nothing half-way."""

from __future__ import annotations

import hashlib
import mimetypes
from collections.abc import Mapping
from pathlib import Path

from uploadmill.backends.ledger.record import Record, WorkFile
from uploadmill.backends.storage.placing import Output, Placed, place
from uploadmill.backends.storage.roles import Stores
from uploadmill.errors import IntegrityError
from uploadmill.job import OutputFile, UploadJob
from uploadmill.pipeline import Commit
from uploadmill.tasks.base import StepTask, guarded
from uploadmill.tasks.work import StepResult
from uploadmill.wire import task_name

#: For content of no known type: bytes, and nothing a browser would run.
UNKNOWN_TYPE = "application/octet-stream"

#: What the standard library calls differently, or not at all.
_EXTENSIONS = {"image/jpeg": "jpg", "image/webp": "webp", "text/plain": "txt", UNKNOWN_TYPE: "bin"}


def check(record: Record, original: Path) -> None:
    """Prove that what is about to be stored comes from the bytes that were scanned.

    Raises:
        IntegrityError: There is no clean certificate for these bytes, or they changed on disk.
    """
    with original.open("rb") as file:
        sha256 = hashlib.file_digest(file, "sha256").hexdigest()
    if sha256 != record.src_sha256:
        raise IntegrityError("workspace", record.job.id, "the pinned file changed")
    scans = record.plan is None or record.plan.scans
    certificate = record.certificate
    clean = certificate and certificate.verdict == "clean" and certificate.sha256 == sha256
    if scans and not clean:
        raise IntegrityError("workspace", record.job.id, "no clean certificate for these bytes")


def commit(
    files: Mapping[str, Path], facts: Mapping[str, WorkFile], job: UploadJob, stores: Stores
) -> tuple[dict[str, OutputFile], Placed]:
    """Store every output under a key made of its own sha256, create-only.

    Args:
        files: The outputs by name, in the workspace.
        facts: The same outputs' sha256, size, type and size in pixels.
        job: Whose outputs they are; its id is part of every key.
        stores: The primary, and the secondary for when the primary is unavailable.

    Returns:
        The outputs as stored, and where they are.

    Raises:
        StorageUnavailable: Neither store took all of them.
        IntegrityError: A file is not what its facts say, or other bytes lie under its key.
    """
    outputs = {name: describe(facts[name], job, stores) for name in files}
    placed = place(
        [
            Output(
                key=output.key,
                source=files[name],
                content_type=output.content_type,
                sha256=output.sha256,
                size=output.size,
                metadata={"job": job.id},
            )
            for name, output in outputs.items()
        ],
        stores.primary,
        stores.secondary,
        breakers=stores.breakers,
    )
    return outputs, placed


def describe(file: WorkFile, job: UploadJob, stores: Stores) -> OutputFile:
    """An output as the result names it, its key made of its sha256."""
    content_type = file.content_type or UNKNOWN_TYPE
    extension = _EXTENSIONS.get(content_type) or _guessed(content_type)
    name = f"{file.output}-{file.sha256[:32]}.{extension}"
    return OutputFile(
        key=stores.output_key(job.id, name),
        content_type=content_type,
        size=file.size,
        sha256=file.sha256,
        width=file.width,
        height=file.height,
    )


def _guessed(content_type: str) -> str:
    return (mimetypes.guess_extension(content_type) or ".bin").removeprefix(".")


class CommitTask(StepTask):
    """Celery's side of :func:`commit`."""

    name = task_name(Commit.step)

    def run(self, job_id: str) -> StepResult:
        """Check the certificate and store the outputs."""
        work = self.work(job_id)
        record = self.mill.record(job_id)
        with guarded(Commit.step):
            check(record, work.original)
            outputs, placed = commit(work.files, work.facts, record.job, self.mill.stores)
        return StepResult(outputs=outputs, placed=placed.role, put=placed.put)
