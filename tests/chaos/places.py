"""Where the checker looks when all faults have stopped."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from chaos.shelves import Shelf
from uploadmill.job import JobState


@dataclass(frozen=True)
class Places:
    """Everything that a job may leave something in.

    Attributes:
        shelves: The stores by role.
        redis_url: The ledger, and the queue where it is the broker.
        workspaces: Of the nodes that are still there.
        state_of: What a producer is told about a job.
        queued: How many messages wait in another broker than that Redis.
    """

    shelves: Mapping[str, Shelf]
    redis_url: str
    workspaces: tuple[Path, ...]
    state_of: Callable[[str], JobState]
    queued: Callable[[], int] = int
