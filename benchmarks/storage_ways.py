"""A process that moves an object one way, and tells the memory that this took.

What it has when idle is taken after it has moved a small object the same way: modules, clients and
connections are there then. What to do comes as JSON on its input, for it holds the stores' keys.
"""

from __future__ import annotations

import gc
import json
import math
import os
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.cpu import memory_mb, reset_peak
from uploadmill.backends.ledger.heal_copy import Copier
from uploadmill.backends.ledger.heal_pace import Pace
from uploadmill.backends.ledger.whole import has_bytes
from uploadmill.backends.storage import FailoverStorage, open_storage
from uploadmill.backends.storage.content_types import DEFAULT_TYPE
from uploadmill.backends.storage.sources import CHUNK
from uploadmill.job import OutputFile


@dataclass(frozen=True, slots=True)
class Thing:
    """What is moved.

    Attributes:
        key: Its name, and what the names of its copies begin with.
        path: Of the file that has its bytes.
        sha256: Of them.
    """

    key: str
    path: str
    sha256: str

    @property
    def size(self) -> int:
        return Path(self.path).stat().st_size


class Ways:
    """Each way once; all find what ``put`` has put, and ``move`` what ``copy`` has copied.

    Args:
        stores: The options of each: ``ours``; ``home``, a second one; ``gone``, which refuses
            connections; ``breaking``, whose connections break while a large object is sent.
    """

    def __init__(self, stores: Mapping[str, Mapping[str, Any]]) -> None:
        self._stores = {name: open_storage(**options) for name, options in stores.items()}
        self._ours = self._stores["ours"]

    def put(self, thing: Thing) -> None:
        """A file whose sha256 nobody told."""
        assert thing.sha256 == self._ours.put(thing.key, Path(thing.path)).sha256

    def open(self, thing: Thing, *, verify: bool = False) -> None:
        """Read to the end."""
        with self._ours.open(thing.key, verify=verify) as reader:
            assert thing.size == sum(map(len, iter(lambda: reader.read(CHUNK), b"")))

    def open_verified(self, thing: Thing) -> None:
        """The same, and its sha256 compared."""
        self.open(thing, verify=True)

    def download(self, thing: Thing) -> None:
        """To a file."""
        target = Path(thing.path).with_name("downloaded")
        assert thing.sha256 == self._ours.download(thing.key, target).sha256
        target.unlink()

    def copy(self, thing: Thing) -> None:
        """Inside the store."""
        assert thing.sha256 == self._ours.copy(thing.key, f"{thing.key}-copy").sha256

    def move(self, thing: Thing) -> None:
        """The copy, to a third name."""
        moved = f"{thing.key}-moved"
        assert thing.sha256 == self._ours.move(f"{thing.key}-copy", moved).sha256
        self._ours.delete(moved)

    def failover(self, thing: Thing) -> None:
        """To the secondary, after three attempts at the primary."""
        assert self._fails_over("gone", thing)

    def failover_midway(self, thing: Thing) -> None:
        """The same, a quarter or more of it sent in vain at each attempt.

        A small object arrives: without it the primary would not have been reached before.
        """
        assert self._fails_over("breaking", thing) == (thing.key == "large")

    def heal(self, thing: Thing) -> None:
        """As a healer does: copy, and read the copy before the original may go."""
        made = OutputFile(
            key=thing.key, content_type=DEFAULT_TYPE, size=thing.size, sha256=thing.sha256
        )
        home = self._stores["home"]
        Copier(home, self._ours, Pace(math.inf)).copy(made)
        assert has_bytes(home, made)

    def _fails_over(self, primary: str, thing: Thing) -> bool:
        """Whether a put to this primary went to the secondary."""
        told: list[str] = []
        both = FailoverStorage(self._stores[primary], self._ours, on_secondary=told.append)
        key = f"{thing.key}-{primary}"
        assert thing.sha256 == both.put(key, Path(thing.path)).sha256
        self._ours.delete(key)
        return told == [key]


def main() -> None:
    asked = json.load(sys.stdin)
    way: Callable[[Thing], None] = getattr(Ways(asked["stores"]), asked["way"])
    way(Thing(**asked["small"]))
    gc.collect()
    idle = memory_mb(os.getpid())
    reset_peak(os.getpid())
    way(Thing(**asked["large"]))
    print(json.dumps({"idle": idle, "peak": memory_mb(os.getpid(), "VmHWM")}))


if __name__ == "__main__":
    main()
