"""The workers of a scenario, each with what its successor is started with."""

from __future__ import annotations

import json
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from uploadmill.worker.embedded.environment import Worker

#: The variable that makes a worker one of another node.
WORKSPACE = "UPLOADMILL_WORKER__WORKSPACE"

#: Faults that go on by themselves; all others are used up, or are meant to last to the end.
LASTING = frozenset({"publishing", "clock", "ballast"})


@dataclass
class Member:
    """A worker of the crew, and what its successor is started with.

    Attributes:
        began_with: The variables that it was started with itself.
        replaced: Whether it has a successor at all.
    """

    worker: Worker
    environ: Mapping[str, str]
    concurrency: int
    began_with: Mapping[str, str] = field(default_factory=dict)
    replaced: bool = True

    @property
    def node(self) -> str | None:
        """Its workspace; None is that of the settings."""
        return self.environ.get(WORKSPACE)

    @property
    def healthy(self) -> bool:
        """Whether it runs, as its successor would, and does nothing wrong any more."""
        faults = json.loads(self.began_with.get("CHAOS", "{}"))
        alike = self.environ == self.began_with
        return self.worker.running and alike and not LASTING & faults.keys()


def place_of(environ: Mapping[str, str]) -> dict[str, str]:
    """Of a worker's variables those that say where it works, none that say how it fails."""
    return {name: value for name, value in environ.items() if name.startswith("UPLOADMILL_")}


def children_of(pid: int) -> list[int]:
    """The pool's processes of a worker, without the helpers, which run other programs."""
    with suppress(OSError):
        found = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
        return [int(child) for child in found if _is_pool_process(int(child))]
    return []


def _is_pool_process(pid: int) -> bool:
    with suppress(OSError):
        return b"worker" in Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
    return False
