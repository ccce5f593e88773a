"""A whole system in one process: a real Valkey, stores in memory, virtual time, faults at will.

Ledger, settler, reconcile, producer and the worker's loop are the product's own. What is put in
their way are the calls of :mod:`protocol.processes`; what is replaced are the clocks, the scanner,
one processor, and Celery, which the loop runs its steps through.
"""

from __future__ import annotations

import hashlib
import random
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import redis
from protocol.processes import Process, Seen
from protocol.watch import BAD, CRASH, INFECTED, MADE_FROM, POISON, Watch
from services.memory_stores import MoodyStorage
from services.timed_ledger import CLOCK, TimedLedger

from uploadmill.backends.ledger import gc, proposals, settle
from uploadmill.backends.ledger import ledger as ledger_module
from uploadmill.backends.ledger.answers import End, Go
from uploadmill.backends.ledger.decisions import Decisions
from uploadmill.backends.ledger.ledger import OPEN
from uploadmill.backends.ledger.reconcile import reconcile
from uploadmill.backends.ledger.settle import Settler
from uploadmill.backends.storage import memory, placing
from uploadmill.backends.storage.roles import Stores
from uploadmill.errors import CorruptUpload, StepTimeout, UploadmillError
from uploadmill.ids import derived_job_id
from uploadmill.job import ScanCertificate
from uploadmill.pipeline import Plan, Scan, StepOptions
from uploadmill.producer import acceptance, replaying, staging
from uploadmill.producer.acceptance import Job
from uploadmill.producer.clients import Clients
from uploadmill.producer.replaying import replay
from uploadmill.producer.staging import Request
from uploadmill.settings import LedgerSettings, Settings, WorkerSettings
from uploadmill.tasks.commit import CommitTask
from uploadmill.tasks.pin import PinTask
from uploadmill.tasks.scan import ScanTask
from uploadmill.tasks.work import Produced, StepResult
from uploadmill.wire import OUTCOMES
from uploadmill.worker import loop
from uploadmill.worker.loop import JobRun
from uploadmill.worker.wiring import Mill
from uploadmill.worker.workspace import Workspaces

ROLES = ("staging", "primary", "secondary", "quarantine")
START = 1_800_000_000_000

#: Seconds after which the keeper of a lease ends a step; the test's steps all have this limit.
STEP_LIMIT = 60.0


class Stamp(StepOptions):
    """The test's processor: every worker makes bytes of its own from the same source."""

    step = "stamp"


PLAN = Plan.of("stamped", [Scan(time_limit=STEP_LIMIT), Stamp()])


class Run(JobRun):
    """The worker's loop, with its steps called directly and not through Celery."""

    def __init__(self, worker: Worker, mill: Mill, job_id: str, settings: Settings) -> None:
        self.worker = worker
        request = SimpleNamespace(hostname=worker.name, delivery_info={})
        app = SimpleNamespace(
            mill=mill, settings=settings, step_events=lambda _: _Silent(), tasks={}
        )
        super().__init__(app, SimpleNamespace(request=request), job_id)

    def _plan(self) -> Plan:
        if self._record.plan is None:
            self._current.record = loop.replace(self._record, plan=PLAN)
        return PLAN

    def _trace(self, step: str, *_: Any) -> StepResult:
        bench = SimpleNamespace(mill=self.mill, work=self.mill.work)
        return self.worker.act(f"run {step}", lambda: self._ran(step, bench))

    def _ran(self, step: str, bench: Any) -> StepResult:
        self.worker.ran.append(step)
        return self.STEPS[step](self, bench)

    def _pin(self, bench: Any) -> StepResult:
        return PinTask.run(bench, self.job_id)

    def _scan(self, bench: Any) -> StepResult:
        return ScanTask.run(bench, self.job_id)

    def _commit(self, bench: Any) -> StepResult:
        return CommitTask.run(bench, self.job_id)

    def _stamp(self, bench: Any) -> StepResult:
        work = bench.work(self.job_id)
        content = work.original.read_bytes()
        if content.startswith(BAD) and not self.worker.world.tolerant:
            raise CorruptUpload("it is bad")
        if content in (POISON, CRASH):
            self.worker.crashes = content == CRASH
            self.worker.die()
        target = work.target("copy")
        target.write_bytes(self.worker.maker.encode() + MADE_FROM + content)
        return StepResult(files={"copy": Produced(target, "text/plain")})

    STEPS = {"pin": _pin, "scan": _scan, "stamp": _stamp, "commit": _commit}  # noqa: RUF012


class _Silent:
    """Celery events nobody asked for."""

    def __getattr__(self, name: str) -> Callable[..., None]:
        return lambda *_, **__: None


class _Keeper:
    """Stands for the lease's thread: what it keeps, the world renews when time passes."""

    good = True

    def __init__(self, process: Process) -> None:
        self.process = process
        self.held: tuple[str, str, str] | None = None

    def hold(self, job_id: str, token: str, step: str, *_: Any) -> None:
        self.held = job_id, token, step

    def drop(self) -> None:
        if not self.process.killed:  # the dead run no ``finally``
            self.held = None


class Scanner:
    """Finds ``VIRUS``, and remembers what it has cleared."""

    def __init__(self) -> None:
        self.cleared: set[str] = set()

    def scan(self, path: Path) -> ScanCertificate:
        content = path.read_bytes()
        sha256 = hashlib.sha256(content).hexdigest()
        clean = INFECTED not in content
        if clean:
            self.cleared.add(sha256)
        return ScanCertificate(
            sha256=sha256,
            verdict="clean" if clean else "infected",
            signature=None if clean else "Test",
            engine="Test 1",
            signatures="1",
            scanned_at=datetime(2027, 1, 15, tzinfo=UTC),
        )


class Worker(Process):
    """One run of a worker's child on one job."""

    def __init__(self, world: World, name: str, job_id: str, node: Node) -> None:
        super().__init__(name, Worker._work)
        self.world, self.job_id, self.node = world, job_id, node
        self.maker = node.maker
        self.keeper = _Keeper(self)
        #: Every token the ledger gave it, also those it never heard of.
        self.tokens: list[str] = []
        #: The steps it has begun.
        self.ran: list[str] = []
        #: Its parent is alive, and says that it died.
        self.crashes = False
        self.reported = False
        #: Time has passed without it.
        self.was_frozen = False

    def _work(self) -> None:
        world = self.world
        settings = world.settings(worker=WorkerSettings(workspace=self.node.root))
        mill = Mill(settings)
        settler = world.settler(self)
        mill.__dict__.update(
            stores=settler.stores,
            scanner=world.scanner,
            ledger=settler.ledger,
            settler=settler,
            lease=self.keeper,
            workspaces=Workspaces(self.node.root),
        )
        world.product.run(self, mill, self.job_id, settings).run()


class Producer(Process):
    """One call of ``enqueue``."""

    def __init__(self, name: str, main: Callable[[Any], Any], job_id: str) -> None:
        super().__init__(name, main)
        self.job_id = job_id


class Node:
    """A workspace root, and whose bytes are made there."""

    def __init__(self, root: Path, maker: str) -> None:
        self.root, self.maker = root, maker


@dataclass(frozen=True)
class Product:
    """The product's parts; a test of a rule replaces the one that keeps it."""

    ledger: type[TimedLedger] = TimedLedger
    settler: type[Settler] = Settler
    decisions: type[Decisions] = Decisions
    run: type[Run] = Run
    accept: Callable[[Clients, staging.Staged], Job] = acceptance.accept
    upload_key: Callable[[str, str], str] = staging.upload_key
    fresh: Callable[..., bool] = acceptance._fresh
    reconcile: Callable[[Settler], Any] = reconcile
    unneeded: Callable[..., Any] = gc._unneeded
    constants: Any = LedgerSettings


class World:
    """Everything there is: ledger, stores, nodes, processes, and what was asked of them."""

    prefix = "media/"

    def __init__(self, url: str, folder: Path, product: Product, **constants: float) -> None:
        self.url, self.folder, self.product = url, folder, product
        self.ledger = product.ledger(url, product.constants(**constants))
        self.ms = START
        self.ledger.redis.set(CLOCK, START)
        #: The same Redis, with bytes as they are.
        self.raw = redis.Redis.from_url(url)
        self.stores = Stores(
            **{role: MoodyStorage(role) for role in ROLES},
            prefix=self.prefix,
        )
        self.scanner = Scanner()
        self._processes: list[Process] = []
        self.workers: list[Worker] = []
        self.late: list[Callable[[], Any]] = []
        self.copies: list[tuple[float, dict[str, bytes]]] = []
        self.contents: dict[str, list[bytes]] = {}
        self.overwritten: set[str] = set()
        self.cancelled: set[str] = set()
        self.timed_out: set[str] = set()
        self.actions = 0
        self.rollbacks = 0
        self.forgot = 0
        #: The workers' processors are of another version, which takes what is bad.
        self.tolerant = False
        self._names = 0
        self.nodes = [self._node("A"), self._node("B")]
        self.watch = Watch(self)

    # -- time ---------------------------------------------------------------------------------

    def time(self) -> float:
        return self.ms / 1000

    def now(self) -> datetime:
        return datetime.fromtimestamp(self.time(), UTC)

    def pass_time(self, seconds: float) -> None:
        """Time for all; who is not frozen keeps its lease, and ends a step that takes too long."""
        self.ms += round(seconds * 1000)
        self.ledger.redis.set(CLOCK, self.ms)
        for worker in self.workers:
            worker.was_frozen |= worker.alive and worker.frozen
            if not worker.alive or worker.frozen or worker.keeper.held is None:
                continue
            job_id, token, step = worker.keeper.held
            if seconds <= STEP_LIMIT:
                self.ledger.renew(job_id, token)
            else:
                error = proposals.error_data(StepTimeout(step, "ran too long"), step)
                self.ledger.release(job_id, token, counted=True, error=error)
                self.timed_out.add(job_id)
                worker.kill()
                worker.reported = True
        self.watch.look()

    @property
    def processes(self) -> list[Process]:
        """Those that live, frozen ones too."""
        self._processes = [process for process in self._processes if process.alive]
        return self._processes

    # -- who acts -----------------------------------------------------------------------------

    def enqueue(self, content: bytes, key: str) -> Producer:
        """A producer that is about to take an upload on."""
        job_id = derived_job_id("", key)
        self.contents.setdefault(job_id, []).append(content)
        request = Request(pipeline="stamped", idempotency_key=key)

        def main(process: Process) -> Job:
            clients = self._clients(process)
            staged = staging.stage(clients, request, content, None)
            return self.product.accept(clients, staged)

        return self._begin(Producer(self._name("producer"), main, job_id))

    def replayer(self, job_id: str) -> Producer:
        """Somebody who wants a job that ended badly to run again."""

        def main(process: Process) -> Job:
            return replay(self._clients(process), job_id)

        return self._begin(Producer(self._name("replayer"), main, job_id))

    def wake(self, job_id: str, node: int = 0) -> Worker:
        """A worker's child that has got a message."""
        worker = Worker(self, self._name("worker"), job_id, self.nodes[node])
        self.workers.append(worker)
        return self._begin(worker)

    def canceller(self, job_id: str) -> Process:
        def main(process: Process) -> Any:
            with suppress(UploadmillError):
                return self.settler(process).cancel(job_id)

        self.cancelled.add(job_id)
        return self._begin(Process(self._name("canceller"), main))

    def reconciler(self) -> Process:
        def main(process: Process) -> Any:
            with suppress(UploadmillError):
                return self.product.reconcile(self.settler(process))

        return self._begin(Process(self._name("reconciler"), main))

    def collector(self, *, orphans: bool = False) -> Process:
        def main(process: Process) -> Any:
            with suppress(UploadmillError):
                return gc.collect(self.settler(process), dry_run=False, orphans=orphans)

        return self._begin(Process(self._name("collector"), main))

    def settings(self, **tables: Any) -> Settings:
        """As configured, with constants that real settings may refuse."""
        settings = Settings(redis_url=self.url, **tables)
        return settings.model_copy(update={"ledger": self.ledger.constants})

    def settler(self, process: Process) -> Settler:
        """The settler of one process, each of whose calls is an action."""

        def seen(inner: Any, role: str) -> Any:
            return Seen(inner, role, process, self._told, self.late.append)

        stores = {role: seen(getattr(self.stores, role), role) for role in ROLES}
        settler = self.product.settler(
            seen(self.ledger, "ledger"), Stores(**stores, prefix=self.prefix)
        )
        settler.decisions = self.product.decisions(settler.stores.staging)
        return settler

    def step(self, process: Process, fault: str | None = None) -> None:
        """One action of one process, and a look at the promises."""
        self.actions += 1
        asks_ledger = process.at.startswith("ledger")
        process.step(fault)
        self._ended(process)
        self.watch.look(ledger=asks_ledger)

    def until(self, process: Process, at: str | tuple[str, ...]) -> None:
        """Let a process run until it stands before a call whose label begins so."""
        while process.alive and not process.at.startswith(at):
            self.step(process)
        assert process.at.startswith(at), f"{process} never came to {at}"

    def run(self, process: Process, steps: int) -> None:
        """So many actions of a process, or fewer if it ends."""
        for _ in range(steps):
            if process.alive:
                self.step(process)

    def finish(self, process: Process) -> Any:
        """Let a process run to its end."""
        while process.alive:
            self.step(process)
        return process.answer

    def kill(self, process: Process, *, reported: bool = False) -> None:
        """End a process where it stands; its parent may live to report that."""
        process.kill()
        if isinstance(process, Worker) and reported:
            self.report(process)
        self.watch.look()

    def report(self, worker: Worker) -> None:
        """What the surviving parent of a dead child does."""
        if worker.keeper.held is not None:
            job_id, token, _ = worker.keeper.held
            self.ledger.crashed(job_id, token)
            worker.reported = True

    def kill_node(self, index: int) -> None:
        """A node and all that ran on it is gone for good; another takes its place."""
        node = self.nodes[index]
        for worker in self.workers:
            if worker.node is node:
                worker.kill()
        shutil.rmtree(node.root, ignore_errors=True)
        self.nodes[index] = self._node(node.maker)
        self.watch.look()

    # -- what happens to Redis and to the stores ----------------------------------------------

    def copy_redis(self) -> None:
        keys = self.ledger.redis.keys("um:*")
        with self.raw.pipeline(transaction=False) as pipeline:
            for key in keys:
                pipeline.dump(key)
            dumps = dict(zip(keys, pipeline.execute(), strict=True))
        self.copies.append((self.time(), dumps))

    def young_copies(self) -> list[dict[str, bytes]]:
        """Those that Redis may fall back to: an older state is emptied and reconciled."""
        oldest = self.time() - self.ledger.constants.heal_grace
        return [copy for at, copy in self.copies if at > oldest]

    def put_back(self, copy: dict[str, bytes] | None = None) -> None:
        """Redis falls back to an older state, by default the last one copied."""
        copy = self.copies[-1][1] if copy is None else copy
        self.empty_redis()
        self.rollbacks += 1
        with self.raw.pipeline(transaction=False) as pipeline:
            for key, dump in copy.items():
                pipeline.restore(key, 0, dump)
            pipeline.execute()

    def empty_redis(self) -> None:
        self.forgot += 1
        self.ledger.redis.flushdb()
        self.ledger.redis.set(CLOCK, self.ms)

    def overwrite(self, job_id: str, content: bytes) -> bool:
        """The client of a presigned address writes once more."""
        envelope = self.watch.envelopes.get(job_id)
        gone = envelope is None or self.object("staging", envelope.job.staged.key) is None
        if gone or self.stores.staging.out:
            return False
        self.overwritten.add(job_id)
        self.contents[job_id].append(content)
        MoodyStorage.put(self.stores.staging, envelope.job.staged.key, content)
        return True

    def forget_outcome(self, job_id: str) -> None:
        """The outcome is older than ``tombstone_keep``, and collected."""
        self.stores.staging.delete(f"{OUTCOMES}{job_id}.json")

    def land(self) -> None:
        """A write that was reported as failed lands now."""
        with suppress(UploadmillError):
            self.late.pop(0)()
        self.watch.look()

    # -- what the watch asks ------------------------------------------------------------------

    def store(self, role: str) -> MoodyStorage:
        return getattr(self.stores, role)

    def object(self, role: str, key: str) -> Any:
        return self.store(role)._objects.get(key)

    def objects(self, role: str, prefix: str) -> list[tuple[str, Any]]:
        found = list(self.store(role)._objects.items())
        return [(key, item) for key, item in found if key.startswith(prefix)]

    def accepted_for(self, job_id: str) -> float:
        """Seconds since the first envelope of the job could have been accepted."""
        found = self.watch.envelopes[job_id].job.enqueued_at
        return (self.now() - found).total_seconds()

    def may_be_poison(self, job_id: str) -> bool:
        """Whether enough runs died, or are still frozen, to say so of the job."""
        constants = self.ledger.constants
        mine = [worker for worker in self.workers if worker.job_id == job_id and worker.tokens]
        reported = [worker for worker in mine if worker.reported]
        # Fallen back, the ledger remembers owners that have long ended elsewhere.
        silent = [worker for worker in mine if worker.killed or worker.alive]
        lost = len(silent) - len(reported) + self.rollbacks * len(mine)
        return len(reported) >= constants.crash_max or lost >= constants.lost_max

    # -- the end ------------------------------------------------------------------------------

    def drain(self, rounds: int = 400) -> None:
        """No more faults: everybody goes on, and what was accepted ends."""
        for role in ROLES:
            self.store(role).out = False
        while self.late:
            self.land()
        for process in self.processes:
            process.frozen = False
        for process in list(self.processes):
            self.finish(process)
        for _ in range(rounds):
            self.finish(self.reconciler())
            due = self.ledger.due(100)
            for number, job_id in enumerate(due):
                self.finish(self.wake(job_id, number % 2))
            self.watch.look()
            left = self.ledger.redis.zrange(OPEN, 0, 0, withscores=True)
            if not left:
                break
            self.pass_time(max(0.001, left[0][1] / 1000 - self.time() + 0.001))
        self.finish(self.reconciler())
        self.watch.settled()
        for _ in range(3):
            self.pass_time(self.ledger.constants.tombstone_keep + 1)
            self.finish(self.collector(orphans=True))
        self.watch.collected()

    def close(self) -> None:
        for process in self.processes:
            process.kill()
        self.ledger.close()
        self.raw.close()

    # -- inside -------------------------------------------------------------------------------

    def _clients(self, process: Process) -> Clients:
        publisher = SimpleNamespace(publish=lambda _: True)
        return Clients(self.settings(), self.settler(process), publisher)

    def _node(self, maker: str) -> Node:
        return Node(self.folder / self._name("node"), maker)

    def _name(self, kind: str) -> str:
        self._names += 1
        return f"{kind}-{self._names}"

    def _begin(self, process: Any) -> Any:
        self._processes.append(process)
        process.begin()
        self._ended(process)
        self.watch.look()
        return process

    def _ended(self, process: Process) -> None:
        """Look at how a process ended; what is no answer of the product's is a fault of it."""
        if process.alive:
            return
        if process.error is not None and not isinstance(process.error, UploadmillError):
            raise process.error
        if isinstance(process, Worker) and process.crashes:
            self.report(process)
        if isinstance(process, Producer) and isinstance(process.answer, Job):
            self.watch.promised.add(process.answer.id)

    def _told(self, process: Process, answer: Any) -> None:
        if isinstance(process, Worker) and isinstance(answer, Go | End):
            process.tokens.append(answer.token)


class _Clock(datetime):
    """``datetime`` for modules of the product, telling the world's time."""

    world: World

    @classmethod
    def now(cls, _: Any = None) -> datetime:  # type: ignore[override]
        return cls.world.now()


@contextmanager
def whole_world(
    url: str, folder: Path, product: Product | None = None, **constants: float
) -> Iterator[World]:
    """A world of its own, on the Valkey at *url*, which it empties."""
    product = product or Product()
    with pytest.MonkeyPatch.context() as patch:
        world = World(url, folder, product, **constants)
        world.empty_redis()
        clock = type("Clock", (_Clock,), {"world": world})
        for module in (memory, proposals, loop, staging, replaying):
            patch.setattr(module, "datetime", clock)
        for module in (settle, loop):
            patch.setattr(module, "boot_time", world.time)
            patch.setattr(loop, "REPEAT", 0)
        for module in (staging, replaying):
            patch.setattr(module, "now", world.time)
        chance = random.Random(1)  # noqa: S311 - the same in every run of the test
        for module in (ledger_module, loop):
            patch.setattr(module, "random", chance)
        timing = placing.Timing(clock=world.time, sleep=lambda _: None, chance=lambda: 0.5)
        patch.setitem(placing.place.__kwdefaults__, "timing", timing)
        patch.setattr(staging, "upload_key", product.upload_key)
        patch.setattr(acceptance, "_fresh", product.fresh)
        patch.setattr(gc, "_unneeded", product.unneeded)
        try:
            yield world
        finally:
            world.close()
