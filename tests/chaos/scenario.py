"""What a scenario is, how one is played, and the row of the table that comes of it."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
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
    """What came of a scenario."""

    name: str
    seed: int
    jobs: int
    faults: Mapping[str, int]
    lost: int
    doubled: int
    wrong: int
    worst_delay: float
    seconds: float
    looks: int
    measured: Mapping[str, float]
    violations: tuple[str, ...]

    def as_json(self) -> dict[str, Any]:
        return asdict(self)


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
        looks=made.watcher.looks,
        measured=dict(book.measured),
        violations=tuple(
            f"{kind}: {where}: {what}"
            for kind, found in kinds.items()
            for where, what in found.items()
        ),
    )
