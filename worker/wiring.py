"""The composition root: from settings to the parts a worker process works with.

Everything here is made per process id, on first use: clients that cross a fork hang or mix up
their answers.
"""

from __future__ import annotations

import os
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from celery import Celery

from uploadmill.backends.ledger.breaker import SharedBreakers
from uploadmill.backends.ledger.ledger import Ledger
from uploadmill.backends.ledger.record import Record
from uploadmill.backends.ledger.settle import Settler
from uploadmill.backends.scanner.base import Scanner
from uploadmill.backends.scanner.clamd import ClamdScanner
from uploadmill.backends.storage import stores_from
from uploadmill.backends.storage.roles import Stores
from uploadmill.pipeline import Plan
from uploadmill.settings import Settings
from uploadmill.tasks.work import Work
from uploadmill.worker.events import BufferedEvents, NoEvents, StepEvents
from uploadmill.worker.lease import LeaseKeeper
from uploadmill.worker.running import RUNNING
from uploadmill.worker.shared import EVENTS
from uploadmill.worker.workspace import Workspaces, original

if TYPE_CHECKING:
    from uploadmill.worker.crashes import Crashes


@dataclass(slots=True)
class CurrentStep:
    """The step this process is running."""

    record: Record
    token: str
    folder: Path


class Mill:
    """One process's stores, scanner, ledger and current job; ``app.mill`` to the step tasks."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.current: CurrentStep | None = None
        self._plans: dict[str, Plan] = {}

    @cached_property
    def stores(self) -> Stores:
        """The four stores by role, and what all processes know of them."""
        breakers = SharedBreakers(self.settings.redis_url, self.settings.breaker)
        return replace(stores_from(self.settings), breakers=breakers)

    @cached_property
    def scanner(self) -> Scanner:
        """The virus scanner."""
        return ClamdScanner.of(self.settings.scanner)

    @cached_property
    def ledger(self) -> Ledger:
        """The ledger, for the loop."""
        return Ledger(self.settings.redis_url, self.settings.ledger)

    @cached_property
    def settler(self) -> Settler:
        """What ends jobs."""
        return Settler(self.ledger, self.stores)

    @cached_property
    def lease(self) -> LeaseKeeper:
        """The keeper of this process's lease, on connections of its own."""
        return LeaseKeeper(Ledger(self.settings.redis_url, self.settings.ledger))

    @cached_property
    def workspaces(self) -> Workspaces:
        """This node's workspaces."""
        return Workspaces(self.settings.worker.workspace)

    def plan(self, pipeline: str) -> Plan:
        """A pipeline spelled out, once per process.

        Raises:
            UnknownPipeline: There is none of this name.
        """
        from uploadmill.tasks.registry import expand  # noqa: PLC0415 - imports the decoders

        if pipeline not in self._plans:
            self._plans[pipeline] = expand(self.settings, pipeline)
        return self._plans[pipeline]

    def record(self, job_id: str) -> Record:
        """The record of the job this process is working on."""
        return self._current(job_id).record

    def work(self, job_id: str) -> Work:
        """The current step's files and options."""
        current = self._current(job_id)
        record, folder = current.record, current.folder
        files = {file.output: file for file in record.current}
        source = next((folder / file.name for file in original(record)), folder)
        return Work(
            step=record.step,
            options=record.plan[record.step].options if record.plan else {},
            folder=folder,
            stamp=current.token.replace(":", "-"),
            files={output: folder / file.name for output, file in files.items()},
            facts=files,
            original=source,
            content_type=record.content_type,
        )

    def _current(self, job_id: str) -> CurrentStep:
        current = self.current
        if current is None or current.record.job.id != job_id:
            raise LookupError(f"this process is not working on job {job_id}")
        return current


class UploadmillApp(Celery):
    """Celery's application with the parts of this process: ``settings`` and ``mill``."""

    #: Results are the ledger's. CELERY_RESULT_BACKEND wins over all that is configured but this.
    backend_cls = "disabled"

    def __init__(self) -> None:
        super().__init__("uploadmill", set_as_current=False)
        self._mills: dict[int, Mill] = {}
        self._events: dict[int, StepEvents] = {}

    @cached_property
    def settings(self) -> Settings:
        """The configuration, read when it is first needed."""
        return Settings.load()

    @cached_property
    def crashes(self) -> Crashes:
        """The children that died, as the main process notices them."""
        # With it comes half of Celery's worker, which a producer's command line does without.
        from uploadmill.worker.crashes import Crashes  # noqa: PLC0415

        return Crashes(RUNNING)

    @property
    def mill(self) -> Mill:
        """The parts of this very process."""
        pid = os.getpid()
        if pid not in self._mills:
            self._mills = {pid: Mill(self.settings)}
        return self._mills[pid]

    def step_events(self, hostname: str) -> StepEvents:
        """Where this process reports its steps."""
        pid = os.getpid()
        if pid not in self._events:
            self._events = {pid: BufferedEvents(self, hostname) if EVENTS else NoEvents()}
        return self._events[pid]
