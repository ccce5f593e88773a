"""A whole system in one process: a real Valkey, stores in memory, virtual time, faults at will.

Ledger, settler, reconcile, producer and the worker's loop are the product's own. What is put in
their way are the calls of :mod:`protocol.processes`; what is replaced are the clocks, the scanner,
one processor, and Celery, which the loop runs its steps through.
"""

from __future__ import annotations

import shutil
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from protocol.processes import Process, Seen
from protocol.product import Product, put_in_place
from protocol.things import ROLES, Things
from protocol.workers import STEP_LIMIT, Node, Worker

from uploadmill.backends.ledger import gc, healing, proposals
from uploadmill.backends.ledger.answers import End, Go
from uploadmill.backends.ledger.heal_queue import HOLD
from uploadmill.backends.ledger.healing import find_stranded
from uploadmill.backends.ledger.names import HEAL, OPEN
from uploadmill.backends.ledger.settle import Settler
from uploadmill.backends.storage.roles import Stores
from uploadmill.errors import StepTimeout, UploadmillError
from uploadmill.ids import derived_job_id
from uploadmill.producer import staging
from uploadmill.producer.acceptance import Job
from uploadmill.producer.clients import Clients
from uploadmill.producer.replaying import replay
from uploadmill.producer.staging import Request
from uploadmill.settings import HealSettings, Settings
from uploadmill.worker.clearing import Clearing
from uploadmill.worker.workspace import Workspaces

#: Virtual time does not pass while somebody sleeps.
UNPACED = HealSettings(jobs_per_second=1e9, bytes_per_second=1e12)


class Producer(Process):
    """One call of ``enqueue`` or ``replay``."""

    def __init__(
        self, name: str, main: Callable[[Any], Any], job_id: str, content: bytes | None = None
    ) -> None:
        super().__init__(name, main)
        self.job_id, self.content = job_id, content


class World(Things):
    """Everything there is: ledger, stores, nodes, processes, and what was asked of them."""

    def __init__(self, url: str, folder: Path, product: Product, **constants: float) -> None:
        super().__init__(product.ledger(url, product.constants(**constants)), url)
        self.url, self.folder, self.product = url, folder, product
        self._processes: list[Process] = []
        self.workers: list[Worker] = []
        self.actions = 0
        #: What healers did that came to their end.
        self.healed: Counter[str] = Counter()
        #: The workers' processors are of another version, which takes what is bad.
        self.tolerant = False
        self._names = 0
        self.nodes = [self._node("A"), self._node("B")]

    def pass_time(self, seconds: float) -> None:
        """Time for all; who is not frozen keeps its lease, and ends a step that takes too long."""
        self.turn_clock(seconds)
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

        return self._begin(Producer(self._name("producer"), main, job_id, content))

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
                settler = self.settler(process)
                self.product.reconcile(settler)
                return find_stranded(settler)

        return self._begin(Process(self._name("reconciler"), main))

    def healer(self) -> Process:
        """Somebody who brings home what is due."""

        def main(process: Process) -> Any:
            with suppress(UploadmillError):
                report = healing.heal(self.settler(process), UNPACED)
                assert not report.damaged, report
                assert not report.refused, report
                self.healed.update({"copied": report.copied, "cleared": report.cleared})
                return report

        return self._begin(Process(self._name("healer"), main))

    def collector(self, *, orphans: bool = False) -> Process:
        def main(process: Process) -> Any:
            with suppress(UploadmillError):
                return gc.collect(self.settler(process), dry_run=False, orphans=orphans)

        return self._begin(Process(self._name("collector"), main))

    def clearer(self, node: int, budget: int) -> Process:
        """A node's main process, which looks at its workspaces once."""
        workspaces = Workspaces(self.nodes[node].root)

        def main(process: Process) -> Any:
            ledger = self.settler(process).ledger
            with suppress(UploadmillError):
                return Clearing(ledger, workspaces, budget).clear()

        return self._begin(Process(self._name("clearer"), main))

    def settings(self, **tables: Any) -> Settings:
        """As configured, with constants that real settings may refuse."""
        settings = Settings(redis_url=self.url, **tables)
        return settings.model_copy(update={"ledger": self.ledger.constants})

    def settler(self, process: Process) -> Settler:
        """The settler of one process, each of whose calls is an action."""

        def seen(inner: Any, role: str) -> Any:
            return Seen(inner, role, process, self._told, self.late.append)

        stores = {role: seen(getattr(self.stores, role), role) for role in ROLES}
        ledger = seen(self.ledger, "ledger")
        return self.product.settler(ledger, Stores(**stores, prefix=self.prefix))

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
        self._heal_all()
        for _ in range(3):
            self.pass_time(self.ledger.constants.tombstone_keep + 1)
            self.finish(self.collector(orphans=True))
        for number in range(len(self.nodes)):
            self.finish(self.clearer(number, budget=0))
        self.watch.collected([str(path) for path in self.folder.glob("*/jobs/*")])

    def _heal_all(self) -> None:
        """Twice: what is brought home now, or found to be there, is cleared after the grace."""
        for _ in range(2):
            self.finish(self.healer())
            self.pass_time(self.ledger.constants.heal_grace + HOLD)
        self.finish(self.healer())
        self.watch.look()
        self.watch.healed(self.ledger.redis.zrange(HEAL, 0, -1))

    def close(self) -> None:
        for process in self.processes:
            process.kill()
        super().close()

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
            self.watch.promise(process.answer.id, process.content)

    def _told(self, process: Process, answer: Any) -> None:
        if isinstance(process, Worker) and isinstance(answer, Go | End):
            process.tokens.append(answer.token)


@contextmanager
def whole_world(
    url: str, folder: Path, product: Product | None = None, **constants: float
) -> Iterator[World]:
    """A world of its own, on the Valkey at *url*, which it empties."""
    product = product or Product()
    with pytest.MonkeyPatch.context() as patch:
        world = World(url, folder, product, **constants)
        put_in_place(patch, product, world)
        try:
            yield world
        finally:
            world.close()
