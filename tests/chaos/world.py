"""A small world in which jobs have ended as they should, without any worker.

Tests plant one thing in it that must not be there, and the harness has to name it.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import redis

from chaos.book import Book, Entry
from chaos.corpus import Corpus, Upload
from chaos.invariants import Checker
from chaos.places import Places
from chaos.shelves import ROLES, folders_of
from chaos.watcher import Watcher
from uploadmill.backends.ledger.decisions import upload_key
from uploadmill.backends.ledger.ledger import Ledger
from uploadmill.backends.ledger.lookup import status
from uploadmill.backends.ledger.settle import Settler
from uploadmill.backends.storage.local import LocalStorage
from uploadmill.backends.storage.roles import Stores
from uploadmill.ids import new_job_id, new_nonce
from uploadmill.job import (
    Envelope,
    JobResult,
    JobState,
    JobTimes,
    Outcome,
    OutputFile,
    Placement,
    ScanCertificate,
    StagedObject,
    UploadJob,
)
from uploadmill.settings import LedgerSettings

#: What every stored job has, in the order in which they were put.
OUTPUTS = ("original", "copy")

NOW = datetime(2026, 11, 23, tzinfo=UTC)


class World:
    """Stores, a ledger, a book, and who looks at them.

    Attributes:
        client: Of the ledger's Redis.
        stored, failed_over, rejected, quarantined: The jobs there are.
    """

    def __init__(self, folder: Path, ledger: Ledger, client: redis.Redis, url: str) -> None:
        self.folder = folder
        self.client = client
        self.corpus = Corpus(1)
        self.book = Book(folder / "faults.txt")
        self.ledger = ledger
        roles = {role: LocalStorage(folder / role, name=role) for role in ROLES}
        self.stores = Stores(**roles)
        self.settler = Settler(ledger, self.stores)
        self.places = Places(
            shelves=folders_of(folder),
            redis_url=url,
            workspaces=(folder / "workspace",),
            state_of=lambda job_id: status(self.settler, job_id).state,
        )
        self.watcher = Watcher(self.places.shelves, url, self.book)
        self.stored = self.store(self.corpus.text(), Placement.PRIMARY)
        self.failed_over = self.store(self.corpus.text(), Placement.SECONDARY)
        self.rejected = self._end(self.accept(self.corpus.bad()), JobState.REJECTED)
        self.quarantined = self.quarantine(self.corpus.infected())

    def check(self, **other: object) -> None:
        """What the harness does when all is over."""
        Checker(replace(self.places, **other), self.book).check()  # type: ignore[arg-type]

    # -- jobs -------------------------------------------------------------------------------

    def accept(self, upload: Upload) -> UploadJob:
        """A job as a producer leaves it."""
        job_id = new_job_id()
        key = upload_key(job_id, new_nonce())
        self.stores.staging.put(key, upload.content)
        staged = StagedObject(key=key, size=len(upload.content))
        job = UploadJob(id=job_id, pipeline=upload.pipeline, staged=staged, enqueued_at=NOW)
        payload_hash = hashlib.sha256(upload.content).hexdigest()
        self.settler.decisions.put_envelope(Envelope(job=job, payload_hash=payload_hash))
        self.ledger.accept(job, payload_hash)
        self.book.entries[job_id] = Entry(job_id, upload, key, accepted=time.monotonic())
        return job

    def store(self, upload: Upload, placed: Placement) -> UploadJob:
        job = self.accept(upload)
        outputs = {name: self.put_output(name, job, upload, placed) for name in OUTPUTS}
        return self._end(job, JobState.STORED, placed, outputs)

    def put_output(
        self, name: str, job: UploadJob, upload: Upload, placed: Placement
    ) -> OutputFile:
        key = f"{job.id}/{name}-{upload.sha256[:32]}.txt"
        self.stores.at(placed).put(key, upload.content, content_type="text/plain")
        return OutputFile(
            key=key, content_type="text/plain", size=len(upload.content), sha256=upload.sha256
        )

    def quarantine(self, upload: Upload) -> UploadJob:
        job = self.accept(upload)
        self.stores.quarantine.put(f"{job.id}/{upload.sha256}", upload.content)
        return self._end(job, JobState.QUARANTINED)

    def _end(
        self,
        job: UploadJob,
        state: JobState,
        placed: Placement | None = None,
        outputs: dict[str, OutputFile] | None = None,
    ) -> UploadJob:
        result = JobResult(
            job_id=job.id,
            pipeline=job.pipeline,
            state=state,
            outputs=outputs or {},
            certificate=self._certificate(job) if placed else None,
            times=JobTimes(enqueued_at=NOW),
        )
        self.settler.settle(Outcome(job=job, state=state, result=result, placed=placed))
        return job

    def _certificate(self, job: UploadJob) -> ScanCertificate:
        return ScanCertificate(
            sha256=self.book.entries[job.id].upload.sha256,
            verdict="clean",
            engine="ClamAV",
            signatures="none",
            scanned_at=NOW,
        )

    # -- files ------------------------------------------------------------------------------

    def output(self, job: UploadJob, role: str = "primary", name: str = OUTPUTS[0]) -> Path:
        """Where an output of a stored job lies."""
        (path,) = (self.folder / role / job.id).glob(f"{name}-*")
        return path

    def result(self, job: UploadJob, role: str = "primary") -> Path:
        return self.folder / role / job.id / "result.json"

    def outcome(self, job: UploadJob) -> Path:
        return self.folder / "staging" / "outcomes" / f"{job.id}.json"

    def put(self, place: str, content: bytes = b"planted\n") -> None:
        """A file where nobody has put one."""
        path = self.folder / place
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)


@contextmanager
def world(folder: Path, redis_url: str) -> Iterator[World]:
    """A world on an empty Redis while the block lasts."""
    with (
        closing(Ledger(redis_url, LedgerSettings())) as ledger,
        redis.Redis.from_url(redis_url, decode_responses=True) as client,
    ):
        made = World(folder, ledger, client, redis_url)
        yield made
        made.watcher._redis.close()
