"""The ground of one scenario: servers, workers that are killed and replaced, a producer, jobs."""

from __future__ import annotations

import json
import os
import random
import signal
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import redis
from services.rabbitmq import RabbitMQ

from chaos.book import Book, Entry
from chaos.corpus import Corpus, Upload
from chaos.crew import Member, children_of, place_of
from chaos.draining import drained, queued_in
from chaos.invariants import Checker
from chaos.places import Places
from chaos.shelves import Shelf
from chaos.submission import Submission
from chaos.watcher import Watcher
from uploadmill import Uploads
from uploadmill.errors import EnqueueError, TransientError
from uploadmill.wire import QUEUE
from uploadmill.worker.embedded.environment import Environment, Worker
from uploadmill.worker.embedded.valkey import EmbeddedValkey, start_valkey
from uploadmill.worker.reconciling import LOCK, RECONCILED

TESTS = Path(__file__).parents[1]
APP = "chaos.app"

#: For the short form, in which a killed worker's job goes on within seconds. Reconciliations, each
#: a process of its own, are rare: one is let begin when the faults have stopped.
SHORT = {
    "UPLOADMILL_LEDGER__LEASE": "2",
    "UPLOADMILL_LEDGER__PUBLISH_GRACE": "1",
    "UPLOADMILL_LEDGER__RETRY_DELAY": "0.5",
    "UPLOADMILL_LEDGER__RETRY_DELAY_MAX": "3",
    "UPLOADMILL_LEDGER__RECONCILE": "30",
    "UPLOADMILL_WORKER__SWEEP": "0.5",
}

#: Seconds a producer asks again for, before it is a fault of the harness.
PRODUCER_PATIENCE = 120.0


@dataclass
class Ground:
    """What a scenario works with.

    Attributes:
        short: Whether it must be over within seconds.
        faults: How the workers' application misbehaves; see :mod:`chaos.app`.
        leaving: Workers that were told to stop when it became calm.
        workspaces: Of the nodes that are there then.
        last_looks: What a scenario itself wants to see when all is over.
        drain_limit: Seconds in which all jobs must have ended once the faults have stopped.
    """

    environment: Environment
    uploads: Uploads
    book: Book
    corpus: Corpus
    shelves: Mapping[str, Shelf]
    watcher: Watcher
    short: bool
    faults: dict[str, Any]
    jobs: int
    drain_limit: float
    valkey: EmbeddedValkey
    rabbitmq: RabbitMQ | None = None
    crew: list[Member] = field(default_factory=list)
    leaving: list[Member] = field(default_factory=list)
    workspaces: set[Path] = field(default_factory=set)
    last_looks: list[Callable[[], None]] = field(default_factory=list)

    @property
    def folder(self) -> Path:
        return self.environment.folder

    @property
    def random(self) -> random.Random:
        return self.corpus.random

    @property
    def lease(self) -> float:
        return self.environment.settings.ledger.lease

    # -- jobs -------------------------------------------------------------------------------

    def submit(self, upload: Upload, before: Callable[[Entry], None] | None = None) -> Entry:
        """Enqueue as a web app does: an unclear answer is asked again with the same key."""
        key = f"upload-{len(self.book.entries)}-{self.random.getrandbits(32):x}"
        end = time.monotonic() + PRODUCER_PATIENCE
        while True:
            try:
                staged = self.uploads.stage(
                    upload.content, pipeline=upload.pipeline, idempotency_key=key
                )
                entry = self.book.entries.setdefault(
                    staged.id, Entry(staged.id, upload, staged.key)
                )
                if before is not None:
                    before(entry)
                    before = None
                self.uploads.accept(staged)
            except (EnqueueError, TransientError) as error:
                self.book.note(f"enqueue {key}: {type(error).__name__}")
                if time.monotonic() > end:
                    raise
                time.sleep(0.3)
            else:
                entry.accepted = entry.accepted or time.monotonic()
                return entry

    def submit_all(self, uploads: Sequence[Upload], pause: float = 0.0) -> None:
        for upload in uploads:
            self.submit(upload)
            time.sleep(pause)

    @contextmanager
    def submitting(self, uploads: Sequence[Upload], pause: float = 0.0) -> Iterator[Submission]:
        """Enqueue in a thread while the block runs; returns when all are accepted."""
        submission = Submission(self.submit, uploads, pause)
        submission.start()
        try:
            yield submission
        finally:
            submission.join()
        if submission.error is not None:
            raise submission.error

    # -- workers ----------------------------------------------------------------------------

    def hire(
        self,
        count: int = 1,
        *,
        concurrency: int = 2,
        faults: Mapping[str, Any] | None = None,
        environ: Mapping[str, str] | None = None,
        ready: bool = True,
    ) -> list[Member]:
        """Start workers with the scenario's faults, and *faults* of their own."""
        own = {
            "PYTHONPATH": str(TESTS),
            "CHAOS": json.dumps({**self.faults, **(faults or {})}),
            **(environ or {}),
        }
        hired = [Member(self._start(own, concurrency), own, concurrency, own) for _ in range(count)]
        self.crew += hired
        if ready:
            for member in hired:
                member.worker.wait_ready()
        return hired

    def hire_few(self, **options: Any) -> None:
        """Enough workers for a scenario that does not kill any."""
        self.hire(1 if self.short else 2, concurrency=3, **options)

    def tend(self) -> None:
        """Replace the workers that have ended, as a supervisor would."""
        for member in self.crew:
            if member.replaced and not member.worker.running:
                member.worker = self._start(member.environ, member.concurrency)
                member.began_with = member.environ

    def _start(self, environ: Mapping[str, str], concurrency: int) -> Worker:
        return self.environment.start_worker(environ, concurrency=concurrency, ready=False, app=APP)

    def kill_group(self, member: Member) -> None:
        """A worker's machine loses power: main process and children at once."""
        self.book.fault("kill_group", str(member.worker.pid))
        with suppress(ProcessLookupError):
            os.killpg(member.worker.pid, signal.SIGKILL)

    def kill_main(self, member: Member) -> None:
        """The main process alone: its children find out when they have finished a job."""
        self.book.fault("kill_main", str(member.worker.pid))
        with suppress(ProcessLookupError):
            os.kill(member.worker.pid, signal.SIGKILL)

    def kill_child(self, member: Member) -> None:
        if children := children_of(member.worker.pid):
            child = self.random.choice(children)
            self.book.fault("kill_child", str(child))
            with suppress(ProcessLookupError):
                os.kill(child, signal.SIGKILL)

    def stop_warm(self, members: Sequence[Member]) -> None:
        for member in members:
            member.worker.tell(signal.SIGTERM)
        for member in members:
            member.worker.wait()

    # -- Redis ------------------------------------------------------------------------------

    def kill_redis(self) -> None:
        self.book.fault("kill_redis")
        os.kill(self.valkey.pid, signal.SIGKILL)
        self.valkey.server.stop()

    def start_redis(self) -> None:
        """On the same port, with what its append-only file has."""
        port = int(self.valkey.url.rsplit(":", 1)[1].split("/")[0])
        self.valkey = start_valkey(self.folder / "valkey", port, persistent=True)

    @contextmanager
    def redis(self) -> Iterator[redis.Redis]:
        with redis.Redis.from_url(
            self.valkey.url, decode_responses=True, socket_timeout=2
        ) as client:
            yield client

    # -- the end ----------------------------------------------------------------------------

    def pause(self, seconds: float) -> None:
        """Let things happen, and replace who dies meanwhile."""
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            self.tend()
            time.sleep(0.05)

    def wait_until_ended(self, seconds: float) -> None:
        """Give the workers there are the time to end all jobs by themselves."""
        end = time.monotonic() + seconds
        while time.monotonic() < end and not all(e.ended for e in self.book.accepted):
            self.pause(0.2)

    def calm(self) -> None:
        """The faults have stopped: each node has one healthy worker, the others stop warmly.

        In the short form that is one of those there are, if any; else it is a new one.
        """
        members = [member for member in self.crew if member.replaced]
        kept = {member.node: member for member in members if self.short and member.healthy}
        stopped = [member for member in members if member not in kept.values()]
        own = self.environment.settings.worker.workspace
        self.workspaces |= {Path(member.node) if member.node else own for member in members}
        if self.short:
            self._let_reconcile()
            for member in stopped:
                member.worker.tell(signal.SIGTERM)
        else:
            self.stop_warm(stopped)
        self.crew = list(kept.values())
        for member in {each.node: each for each in stopped if each.node not in kept}.values():
            self.hire(faults={"calm": True}, environ=place_of(member.environ), ready=False)
        self.leaving = stopped
        self.book.note("calm")

    def _let_reconcile(self) -> None:
        """The minutes pass after which somebody looks again whether anything was forgotten."""
        with suppress(redis.RedisError), self.redis() as client:
            client.delete(LOCK, RECONCILED)

    def drain(self) -> bool:
        """Whether all jobs ended in time, and everything of theirs was cleared away."""
        end = time.monotonic() + self.drain_limit
        looks = 0
        while time.monotonic() < end:
            self.tend()
            # Twice: a worker may have a message in hand that it has not noted as its own yet.
            looks = looks + 1 if drained(self.places, self.book) else 0
            if looks == 2:
                return True
            time.sleep(0.1)
        self.book.note("not drained in time")
        return False

    @property
    def places(self) -> Places:
        """Everything that a job may leave something in."""
        return Places(
            shelves=self.shelves,
            redis_url=self.valkey.url,
            workspaces=tuple(self.workspaces),
            state_of=lambda job_id: self.uploads.status(job_id).state,
            queued=self._queued,
        )

    def _queued(self) -> int:
        return queued_in(self.rabbitmq.url, QUEUE) if self.rabbitmq is not None else 0

    def check(self) -> None:
        """Compare everything with what must be."""
        self.stop_warm(self.crew)
        for member in self.leaving:
            member.worker.wait()
        self.watcher.stop()
        Checker(self.places, self.book).check()
        for look in self.last_looks:
            look()
