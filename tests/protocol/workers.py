"""The worker's side of the world: the product's loop, with everything around it replaced."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

from protocol.processes import Process
from protocol.watch import BAD, CRASH, INFECTED, MADE_FROM, POISON

from uploadmill.errors import CorruptUpload, StepFailed
from uploadmill.job import ScanCertificate
from uploadmill.pipeline import Plan, Scan, StepOptions
from uploadmill.settings import Settings, WorkerSettings
from uploadmill.tasks.commit import CommitTask
from uploadmill.tasks.pin import PinTask
from uploadmill.tasks.scan import ScanTask
from uploadmill.tasks.work import Produced, StepResult
from uploadmill.worker import loop
from uploadmill.worker.loop import JobRun
from uploadmill.worker.wiring import Mill
from uploadmill.worker.workspace import Workspaces

if TYPE_CHECKING:
    from protocol.world import World

#: Milliseconds since 1970 at which every world begins.
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
        try:
            return self.STEPS[step](self, bench)
        except OSError as error:  # a frozen run's workspace may have been cleared
            raise StepFailed(step, type(error).__name__) from error
        finally:
            _date(self._current.folder, self.worker.world.time())

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

    def __init__(self, process: Process) -> None:
        self.process = process
        self.held: tuple[str, str, str] | None = None

    def hold(self, job_id: str, token: str, step: str, *_: Any) -> None:
        self.held = job_id, token, step

    def drop(self) -> None:
        if not self.process.killed:  # the dead run no ``finally``
            self.held = None


class _Workspaces(Workspaces):
    """Folders made at the world's time."""

    def __init__(self, root: Path, clock: Callable[[], float]) -> None:
        super().__init__(root)
        self.clock = clock

    def make(self, record: Any) -> Path:
        folder = super().make(record)
        _date(folder, self.clock())
        return folder


def _date(folder: Path, seconds: float) -> None:
    """Give what was written just now the world's time: the real one is long before it."""
    for path in [folder, *folder.glob("*")]:
        if path.exists() and path.stat().st_mtime < START / 1000:
            os.utime(path, (seconds, seconds))


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
        #: How often Redis had forgotten something when it began.
        self.forgot = world.forgot
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
            workspaces=_Workspaces(self.node.root, world.time),
        )
        world.product.run(self, mill, self.job_id, settings).run()


class Node:
    """A workspace root, and whose bytes are made there."""

    def __init__(self, root: Path, maker: str) -> None:
        self.root, self.maker = root, maker
