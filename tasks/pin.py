"""Freeze the staged bytes on this node and hash them; every later step reads this copy."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from io import BufferedWriter
from pathlib import Path

from uploadmill.backends.storage.base import Storage
from uploadmill.backends.storage.sources import CHUNK, Readable
from uploadmill.errors import (
    ObjectChanged,
    ObjectNotFound,
    SizeLimitExceeded,
    SourceChanged,
    SourceMissing,
)
from uploadmill.job import StagedObject
from uploadmill.pipeline import Pin
from uploadmill.tasks.base import StepTask, guarded, options_of
from uploadmill.tasks.work import ORIGINAL, Produced, StepResult
from uploadmill.wire import task_name


@dataclass(frozen=True, slots=True)
class Pinned:
    """The bytes as they were pinned: *size* in bytes, *sha256* in hex."""

    sha256: str
    size: int


def pin(storage: Storage, staged: StagedObject, target: Path, max_size: int) -> Pinned:
    """Copy the staged object to *target*, hashing while it is read.

    Args:
        storage: The staging store.
        staged: The object as it was enqueued; a later state of it is refused.
        target: A new file; nothing is left of it when this raises.
        max_size: In bytes; reading stops there.

    Raises:
        SourceMissing: The object is gone.
        SourceChanged: It is not the one that was enqueued.
        SizeLimitExceeded: It has more than *max_size* bytes.
        StorageUnavailable: The store gave no answer, or broke off.
    """
    if staged.size > max_size:
        raise SizeLimitExceeded(max_size, staged.size)
    try:
        with storage.open(staged.key, if_match=staged.etag, version=staged.version) as reader:
            pinned = freeze(reader, target, max_size)
    except ObjectNotFound as error:
        raise SourceMissing(staged.key) from error
    except ObjectChanged as error:
        raise SourceChanged("the staged object was overwritten after it was enqueued") from error
    if pinned.size != staged.size or (staged.sha256 or pinned.sha256) != pinned.sha256:
        target.unlink()
        raise SourceChanged("the staged bytes are not those that were enqueued")
    return pinned


def freeze(reader: Readable, target: Path, max_size: int) -> Pinned:
    """Copy what *reader* has left to the new file *target*, and hash it.

    Raises:
        SizeLimitExceeded: There are more than *max_size* bytes.
    """
    with target.open("xb") as file:
        try:
            return _copy(reader, file, max_size)
        except BaseException:
            # A store that breaks off again and again must not fill the disk with halves.
            target.unlink(missing_ok=True)
            raise


def _copy(reader: Readable, file: BufferedWriter, max_size: int) -> Pinned:
    digest, size = hashlib.sha256(), 0
    while chunk := reader.read(CHUNK):
        size += len(chunk)
        if size > max_size:
            raise SizeLimitExceeded(max_size)
        digest.update(chunk)
        file.write(chunk)
    file.flush()
    return Pinned(digest.hexdigest(), size)


class PinTask(StepTask):
    """Celery's side of :func:`pin`."""

    name = task_name(Pin.step)

    def run(self, job_id: str) -> StepResult:
        """Download the staged object into the workspace."""
        work = self.work(job_id)
        target = work.target(ORIGINAL)
        options = options_of(work, Pin)
        staged = self.mill.record(job_id).job.staged
        with guarded(Pin.step):
            pinned = pin(self.mill.stores.staging, staged, target, options.max_size)
        return StepResult(
            files={ORIGINAL: Produced(target, sha256=pinned.sha256)}, src_sha256=pinned.sha256
        )
