"""A worker's process without the worker: the loop itself, on stores in memory and a real Valkey."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from celery.app.trace import build_tracer

from services.memory_stores import memory_stores
from services.timed_ledger import PAYLOAD, TimedLedger, new_job, timed_ledger
from uploadmill.backends.ledger.decisions import Decisions
from uploadmill.backends.ledger.record import Ended, Record
from uploadmill.backends.storage.roles import Stores
from uploadmill.job import Envelope, JobState, ScanCertificate, StagedObject, UploadJob
from uploadmill.settings import Settings
from uploadmill.tasks.registry import step_tasks
from uploadmill.worker.lease import LeaseKeeper
from uploadmill.worker.loop import JobRun
from uploadmill.worker.wiring import UploadmillApp

TEXT = b"Twelve boxing champions chase Viktor across the great dyke of Sylt.\n" * 100

#: What a scanner does with a file: a certificate about it, or an error.
Verdict = Callable[[Path], ScanCertificate]


def clean(source: Path) -> ScanCertificate:
    return ScanCertificate(
        sha256=hashlib.sha256(source.read_bytes()).hexdigest(),
        verdict="clean",
        engine="Test 1",
        signatures="1",
        scanned_at=datetime.now(UTC),
    )


class ToldScanner:
    """Does what a test tells it to."""

    def __init__(self) -> None:
        self.verdict: Verdict = clean

    def scan(self, source: Path) -> ScanCertificate:
        return self.verdict(source)


@dataclass
class OneProcess:
    """A process that works on jobs when a test says so; its ledger's time stands still."""

    app: UploadmillApp
    ledger: TimedLedger
    stores: Stores
    scanner: ToldScanner
    workspace: Path
    #: Exit statuses: how often the process would have ended itself.
    exits: list[int]

    def enqueue(self, content: bytes = TEXT, pipeline: str = "document") -> UploadJob:
        """Staged bytes, an envelope, a record: what a producer leaves."""
        job = new_job(pipeline=pipeline)
        stat = self.stores.staging.put(job.staged.key, content)
        staged = StagedObject(key=job.staged.key, etag=stat.etag, size=len(content))
        job = job.model_copy(update={"staged": staged})
        Decisions(self.stores.staging).put_envelope(Envelope(job=job, payload_hash=PAYLOAD))
        assert "new" == self.ledger.accept(job, PAYLOAD).name
        return job

    def run(self, job: UploadJob) -> None:
        """One message: this process works on the job until the ledger says otherwise."""
        request = SimpleNamespace(hostname="w@test", delivery_info={})
        JobRun(self.app, SimpleNamespace(request=request), job.id).run()

    def run_later(self, job: UploadJob) -> None:
        """The same, when the job's time has come."""
        self.ledger.pass_time(max(0.0, self.ledger.looked_at_in(job) or 0.0))
        self.run(job)

    def ended(self, job: UploadJob) -> tuple[JobState, str | None]:
        """How the job ended, and under which code."""
        found = self.ledger.read(job.id)
        assert isinstance(found, Ended), found
        error = found.outcome.result.error
        return found.state, error.code if error else None

    def open(self, job: UploadJob) -> Record:
        """The record of a job that nobody holds."""
        found = self.ledger.read(job.id)
        assert isinstance(found, Record), found
        assert not found.running
        return found

    def attempts(self, job: UploadJob, step: str) -> int:
        """How often a step of this job counted as tried."""
        return int(self.ledger.field(job, f"attempts:{step}") or 0)

    def waits(self, job: UploadJob) -> float:
        """Seconds until the job may go on."""
        return int(self.ledger.field(job, "next_at") or 0) / 1000 - self.ledger.now()

    def decided(self, job: UploadJob) -> bool:
        """Whether it is decided how the job ends."""
        return f"outcomes/{job.id}.json" in self.staged

    @property
    def staged(self) -> set[str]:
        """The keys in the staging store."""
        return self.stores.staging.keys()

    def folders(self, job: UploadJob) -> list[Path]:
        """The job's workspaces on this node."""
        return list((self.workspace / "jobs" / job.id).glob("*"))


@contextmanager
def one_process(
    redis_url: str,
    folder: Path,
    monkeypatch: pytest.MonkeyPatch,
    pipelines: Mapping[str, Any] | None = None,
    **constants: float,
) -> Iterator[OneProcess]:
    app = UploadmillApp()
    app.__dict__["settings"] = Settings.model_validate(
        {
            "redis_url": redis_url,
            "worker": {"workspace": folder},
            "ledger": constants,
            "pipelines": pipelines or {},
        }
    )
    with timed_ledger(redis_url, **constants) as ledger:
        stores, scanner, exits = memory_stores(), ToldScanner(), list[int]()
        # The keeper's thread needs connections of its own, and the clock of this ledger.
        keeper = TimedLedger(redis_url, ledger.constants)
        lease = LeaseKeeper(keeper, exits.append)
        app.mill.__dict__.update(stores=stores, scanner=scanner, ledger=ledger, lease=lease)
        for task in step_tasks():
            app.register_task(task)
            # As a prefork child does when it starts.
            monkeypatch.setattr(
                task, "__trace__", build_tracer(task.name, task, app.loader, "w@test", app=app)
            )
        yield OneProcess(app, ledger, stores, scanner, folder, exits)
        keeper.close()
