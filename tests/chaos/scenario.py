"""What a scenario is, how one is played, and the row of the table that comes of it."""

from __future__ import annotations

import resource
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from resource import RUSAGE_CHILDREN, RUSAGE_SELF
from typing import Any

from chaos.ground import Ground
from chaos.servers import ground


@dataclass(frozen=True)
class Scenario:
    """One way to break things.

    Attributes:
        play: Starts workers, submits jobs and breaks things; returns when it breaks no more.
        jobs: In the long form, and in the short one.
        faults: How every worker's application misbehaves.
        settings: ``UPLOADMILL_…`` variables, in both forms;
        short_settings: and in the short one.
        drain: Seconds, long and short, until all must have ended; None: a scenario that must
            fail waits no longer than it needs to.
        on_rabbitmq: Whether messages go through a RabbitMQ; ``ground.rabbitmq`` is it then.
        on_s3: The roles whose stores are buckets of an S3 server.
    """

    name: str
    play: Callable[[Ground], None]
    jobs: tuple[int, int]
    faults: Mapping[str, Any] = field(default_factory=dict)
    settings: Mapping[str, str] = field(default_factory=dict)
    short_settings: Mapping[str, str] = field(default_factory=dict)
    pipelines: Mapping[str, Any] = field(default_factory=dict)
    drain: tuple[float, float] = (900.0, 120.0)
    on_rabbitmq: bool = False
    on_s3: tuple[str, ...] = ()


@dataclass(frozen=True)
class Row:
    """What came of a scenario.

    Attributes:
        worst_delay: Seconds from a job's acceptance to its end.
        seconds: That the whole took.
        cpu: Seconds of CPU, of this process and of all that it saw end.
        looks: Of the watcher.
        ended: That it came to its end, which a broken scenario's row denies.
    """

    name: str
    seed: int
    jobs: int
    faults: Mapping[str, int]
    lost: int
    doubled: int
    wrong: int
    worst_delay: float
    seconds: float
    cpu: float
    looks: int
    measured: Mapping[str, float]
    violations: tuple[str, ...]
    ended: bool = True

    def as_json(self) -> dict[str, Any]:
        return asdict(self)


def cpu_seconds() -> float:
    """Of this process, and of all that it or its children have waited for."""
    own, children = (resource.getrusage(who) for who in (RUSAGE_SELF, RUSAGE_CHILDREN))
    return own.ru_utime + own.ru_stime + children.ru_utime + children.ru_stime


def run(scenario: Scenario, folder: Path, *, seed: int, short: bool) -> Row:
    """Play a scenario and check everything."""
    began = time.monotonic()
    with ground(
        folder,
        seed=seed,
        short=short,
        jobs=scenario.jobs[short],
        drain_limit=scenario.drain[short],
        faults=scenario.faults,
        settings={**scenario.settings, **(scenario.short_settings if short else {})},
        pipelines=scenario.pipelines,
        on_rabbitmq=scenario.on_rabbitmq,
        on_s3=scenario.on_s3,
    ) as made:
        scenario.play(made)
        made.calm()
        made.drain()
        made.check()
    book = made.book
    kinds = {"lost": book.lost, "doubled": book.doubled, "wrong": book.wrong}
    return Row(
        name=scenario.name,
        seed=seed,
        jobs=len(book.accepted),
        faults=dict(book.faults),
        lost=len(book.lost),
        doubled=len(book.doubled),
        wrong=len(book.wrong),
        worst_delay=round(book.worst_delay, 1),
        seconds=round(time.monotonic() - began, 1),
        cpu=round(cpu_seconds(), 1),
        looks=made.watcher.looks,
        measured=dict(book.measured),
        violations=tuple(
            f"{kind}: {where}: {what}"
            for kind, found in kinds.items()
            for where, what in found.items()
        ),
    )
