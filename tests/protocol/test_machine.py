"""The product in a world where everything goes wrong in random order.

Producers, workers, cancels and reconciliations take one action at a time, in any order; they are
frozen and killed, replies are lost, writes land late, Redis falls back or forgets, stores are out,
staged bytes are overwritten. After each action the promises are looked at, and at the end, without
further faults, everything accepted must end.

A fixed, small number of runs each time. For more, say how many and how long::

    MACHINE_EXAMPLES=2000 MACHINE_STEPS=120 .venv/bin/python -m pytest -s tests/protocol
"""

from __future__ import annotations

import os
from collections import Counter
from contextlib import ExitStack
from itertools import count
from typing import Any, ClassVar

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    precondition,
    rule,
    run_state_machine_as_test,
)
from protocol.processes import LATE, LOST, REFUSED, Process
from protocol.product import Product
from protocol.things import ROLES
from protocol.workers import Worker
from protocol.world import World, whole_world

EXAMPLES = int(os.environ.get("MACHINE_EXAMPLES", "40"))
STEPS = int(os.environ.get("MACHINE_STEPS", "50"))

CONTENTS = (
    b"a good file",
    b"a good file",
    b"another good file",
    b"VIRUS",
    b"BAD",
    b"POISON",
    b"CRASH",
)
KEYS = ("one", "two", "three")

#: Seconds: a moment, a lease, a back-off, a day's deadline, the grace of staged bytes and of heal.
TIMES = (1.0, 31.0, 31.0, 130.0, 400.0, 86_401.0, 43_201.0)

#: Who else comes by.
OTHERS = ("cancel", "reconcile", "reconcile", "collect", "replay", "clear", "heal", "heal")

#: How a commit is broken off.
BROKEN_OFF = ("kill", "kill, cancel", "out", "out, cancel", "cancel")

#: What the runs together must have come to: a machine that stands still breaks no promise.
MUST = (
    "stored",
    "rejected",
    "copied",
    "kill",
    "reply lost",
    "put back",
    "flush",
    "replay",
    "collect",
    "in vain",
)

numbers = st.integers(0, 1000)


class Machine(RuleBasedStateMachine):
    """One run of the world; the test says which, by a subclass."""

    url = ""
    folder: Any = None
    product = Product()
    examples = count()
    told: ClassVar[Counter[str]]

    def __init__(self) -> None:
        super().__init__()
        self.around = ExitStack()
        folder = self.folder / str(next(self.examples))
        world = whole_world(self.url, folder, self.product)
        self.world: World = self.around.enter_context(world)
        self.broken = False

    # -- who is there -------------------------------------------------------------------------

    def jobs(self) -> list[str]:
        return list(self.world.contents)

    def running(self) -> list[Process]:
        return [process for process in self.world.processes if not process.frozen]

    def workers(self) -> list[Worker]:
        return [process for process in self.world.processes if isinstance(process, Worker)]

    def room(self) -> bool:
        return len(self.world.processes) < 7

    def guarded(self, name: str, act: Any) -> None:
        """Do something, and remember when it broke a promise."""
        self.told[name] += 1
        try:
            act()
        except BaseException:
            self.broken = True
            raise

    # -- what they do -------------------------------------------------------------------------

    @rule(content=st.sampled_from(CONTENTS), key=st.sampled_from(KEYS))
    @precondition(room)
    def enqueue(self, content, key):
        self.guarded("enqueue", lambda: self.world.enqueue(content, key))

    @initialize(content=st.sampled_from(CONTENTS), key=st.sampled_from(KEYS))
    def enqueue_whole(self, content, key):
        world = self.world
        self.guarded("enqueue", lambda: world.finish(world.enqueue(content, key)))

    @rule(number=numbers, node=st.integers(0, 1), steps=st.integers(0, 14))
    @precondition(lambda self: self.room() and self.jobs())
    def wake(self, number, node, steps):
        world, job = self.world, _pick(self.jobs(), number)
        self.guarded("wake", lambda: world.run(world.wake(job, node), steps))

    @rule(number=numbers, fault=st.sampled_from((None, None, None, LOST, LATE, REFUSED)))
    @precondition(running)
    def step(self, number, fault):
        process = _pick(self.running(), number)
        self.guarded(fault or "step", lambda: self.world.step(process, fault))

    @rule(number=numbers)
    @precondition(running)
    def go_on(self, number):
        self.guarded("step", lambda: self.world.step(_pick(self.running(), number)))

    @rule(number=numbers, steps=st.integers(2, 20))
    @precondition(running)
    def run(self, number, steps):
        process = _pick(self.running(), number)
        self.guarded("run", lambda: self.world.run(process, steps))

    @rule(number=numbers, what=st.sampled_from(OTHERS))
    @precondition(lambda self: self.room() and self.jobs())
    def somebody_else(self, number, what):
        world, job = self.world, _pick(self.jobs(), number)
        begin = {
            "cancel": lambda: world.canceller(job),
            "reconcile": world.reconciler,
            "collect": world.collector,
            "heal": world.healer,
            "replay": lambda: world.replayer(job),
            "clear": lambda: world.clearer(number % 2, budget=0),
        }
        self.guarded(what, lambda: world.run(begin[what](), number % 12))

    @rule(number=numbers)
    @precondition(lambda self: self.jobs() and self.room())
    def sweep(self, number):
        """The sweeper looks, and wakes somebody for what is due."""

        def act() -> None:
            for job in self.world.ledger.due(2):
                self.world.run(self.world.wake(job, number % 2), number % 12)

        self.guarded("sweep", act)

    # -- what happens to them -----------------------------------------------------------------

    @rule(number=numbers)
    @precondition(workers)
    def freeze_or_thaw(self, number):
        worker = _pick(self.workers(), number)
        self.told["thaw" if worker.frozen else "freeze"] += 1
        worker.frozen = not worker.frozen

    @rule(number=numbers, how=st.sampled_from(("alone", "reported", "node")))
    @precondition(lambda self: self.world.processes)
    def kill(self, number, how):
        process = _pick(self.world.processes, number)
        if how == "node":
            self.guarded("kill node", lambda: self.world.kill_node(number % 2))
        else:
            self.guarded("kill", lambda: self.world.kill(process, reported=how == "reported"))

    @rule(seconds=st.sampled_from(TIMES))
    @precondition(jobs)
    def time_passes(self, seconds):
        self.guarded("time", lambda: self.world.pass_time(seconds))

    @rule(number=numbers, content=st.sampled_from(CONTENTS[:4]))
    @precondition(lambda self: set(self.jobs()) - self.world.overwritten)
    def overwrite(self, number, content):
        job = _pick(sorted(set(self.jobs()) - self.world.overwritten), number)
        self.guarded("overwrite", lambda: self.world.overwrite(job, content))

    @rule(
        trouble=st.sampled_from(("copy", "copy", "put back", "put back", "flush")), number=numbers
    )
    @precondition(jobs)
    def redis_forgets(self, trouble, number):
        copies = self.world.young_copies()
        if trouble == "copy" or (trouble == "put back" and not copies):
            self.guarded("copy", self.world.copy_redis)
        elif trouble == "put back":
            self.guarded("put back", lambda: self.world.put_back(_pick(copies, number)))
        else:
            self.guarded("flush", self.world.empty_redis)

    @rule(role=st.sampled_from(ROLES))
    @precondition(running)
    def store_goes_or_comes(self, role):
        self.told["store"] += 1
        store = self.world.store(role)
        store.out = not store.out

    @rule(number=numbers, steps=st.integers(10, 40), back=st.booleans())
    @precondition(lambda self: self.room() and self.jobs())
    def fail_over(self, number, steps, back):
        """The primary alone is out while somebody works on a job."""
        world, job = self.world, _pick(self.jobs(), number)

        def act() -> None:
            for role in ROLES:
                world.store(role).out = role == "primary"
            world.run(world.wake(job, number % 2), steps)
            world.stores.primary.out = not back

        self.guarded("fail over", act)

    @rule(number=numbers, steps=st.integers(1, 4), how=st.sampled_from(BROKEN_OFF))
    @precondition(room)
    def break_off(self, number, steps, how):
        """A new job comes to commit, and there it stops; somebody may cancel it then."""
        world = self.world

        def act() -> None:
            producer = world.enqueue(CONTENTS[0], f"broken off {len(world.contents)}")
            world.finish(producer)
            worker = world.wake(producer.job_id, number % 2)
            while worker.alive and not worker.at.startswith(("primary.put", "secondary.put")):
                world.step(worker)
            world.run(worker, steps)
            if "kill" in how:
                world.kill(worker)
            if "out" in how:
                for role in ("staging", "secondary"):
                    world.store(role).out = True
                world.run(worker, 2)
                world.stores.staging.out = False
            if "cancel" in how:
                world.finish(world.canceller(producer.job_id))

        self.guarded("break off", act)

    @rule()
    @precondition(lambda self: self.world.late)
    def write_lands(self):
        self.guarded("land", self.world.land)

    def teardown(self):
        with self.around:
            if not self.broken:
                self.world.drain()
                self.told.update(o.state.value for o in self.world.watch.outcomes.values())
                self.told["actions"] += self.world.actions
                self.told.update(self.world.healed)
                self.told["in vain"] += len(self.world.watch.in_vain.seen)


def _pick(things: Any, number: int) -> Any:
    return things[number % len(things)]


def test_every_promise_holds_whatever_happens(redis_url, tmp_path):
    class Here(Machine):
        url, folder = redis_url, tmp_path
        told = Counter()  # noqa: RUF012 - of this test

    profile = settings(
        max_examples=EXAMPLES,
        stateful_step_count=STEPS,
        derandomize="MACHINE_EXAMPLES" not in os.environ,
        deadline=None,
        database=None,
        suppress_health_check=list(HealthCheck),
    )

    run_state_machine_as_test(Here, settings=profile)

    print(dict(Here.told))  # noqa: T201 - the figures of a long run
    assert [] == [name for name in MUST if not Here.told[name]]
