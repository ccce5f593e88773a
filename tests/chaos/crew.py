"""The workers of a scenario, each with what its successor is started with."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from uploadmill.worker.embedded.environment import Worker


@dataclass
class Member:
    """A worker of the crew, and what its successor is started with."""

    worker: Worker
    environ: Mapping[str, str]
    concurrency: int
    replaced: bool = True


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
