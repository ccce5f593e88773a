"""What tests plant, each with how the harness must report it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from chaos.world import World


@dataclass(frozen=True)
class Planted:
    """One thing that must not be.

    Attributes:
        plant: Puts it into a world; returns the job, key or place that the report must name.
        kind: ``lost``, ``doubled`` or ``wrong``.
        what: A part of what the report must say of it.
    """

    plant: Callable[[World], str]
    kind: str
    what: str


class Plants:
    """All of one sort, in the order in which they were written, by the names of their functions."""

    def __init__(self) -> None:
        self.every: dict[str, Planted] = {}

    def reported(
        self, kind: str, what: str
    ) -> Callable[[Callable[[World], str]], Callable[[World], str]]:
        """Add the function below."""

        def add(plant: Callable[[World], str]) -> Callable[[World], str]:
            self.every[plant.__name__] = Planted(plant, kind, what)
            return plant

        return add


def assert_reported(world: World, planted: Planted, where: str) -> None:
    """The report names the very thing, and what is wrong with it."""
    told = getattr(world.book, planted.kind)
    assert where in told, (world.book.lost, world.book.doubled, world.book.wrong)
    assert planted.what in told[where]
