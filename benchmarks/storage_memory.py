"""The memory that a large object takes on its way: to each kind of store, and from it."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from services.proxy import proxy

from benchmarks.report import Figure
from benchmarks.storage_places import NOBODY, Place, azure, google, s3

#: Bytes of the object, in the long form and in the short one.
LARGE = (1_000_000_000, 100_000_000)

SMALL = 1000

#: Of :class:`benchmarks.storage_ways.Ways`, in an order in which each finds what it needs.
WAYS = (
    "put",
    "open",
    "open_verified",
    "download",
    "copy",
    "move",
    "failover",
    "failover_midway",
    "heal",
)

#: Seconds a process may take.
LIMIT = 3600.0


@dataclass(frozen=True, slots=True)
class Kind:
    """A kind of store.

    Attributes:
        name: Of its figures.
        run: Its server.
        aim: MB over what an idle process has.
    """

    name: str
    run: Callable[[Path], AbstractContextManager[Place]]
    aim: float


KINDS = (Kind("s3", s3, 24.0), Kind("gcs", google, 48.0), Kind("azure", azure, 48.0))


def measure(folder: Path, *, short: bool) -> Iterator[Figure]:
    """One after the other, each way in a process of its own."""
    folder.mkdir(parents=True)
    size = LARGE[short]
    things = {"small": _thing(folder, "small", SMALL), "large": _thing(folder, "large", size)}
    for kind in KINDS:
        with ExitStack() as stack:
            data = stack.enter_context(TemporaryDirectory(dir=folder))
            try:
                place = stack.enter_context(kind.run(Path(data)))
            except FileNotFoundError as error:
                print(f"no figures of {kind.name}: {error}", flush=True)
            else:
                yield from _measure(kind, place, things, size)


def _measure(kind: Kind, place: Place, things: dict[str, Any], size: int) -> Iterator[Figure]:
    with proxy(place.port) as between:
        # Of one connection: S3's parts go through two.
        between.cut_requests_after = size // 4
        stores = {
            "ours": place.store("ours"),
            "home": place.store("home"),
            "gone": place.store("gone", NOBODY),
            "breaking": place.store("breaking", between.port),
        }
        for way in WAYS:
            began = time.monotonic()
            memory = _run({"stores": stores, "way": way, **things})
            took = time.monotonic() - began
            detail = (
                f"{size / 1e6:g} MB in {took:.0f} s; "
                f"peak {memory['peak']:.1f}, idle {memory['idle']:.1f} MB"
            )
            name = f"{kind.name}_{way}_memory_mb"
            yield Figure(name, memory["peak"] - memory["idle"], kind.aim, detail)


def _run(asked: dict[str, Any]) -> dict[str, float]:
    """What a process of its own has measured."""
    command = [sys.executable, "-m", "benchmarks.storage_ways"]
    done = subprocess.run(
        command, input=json.dumps(asked).encode(), stdout=subprocess.PIPE, check=True, timeout=LIMIT
    )
    found: dict[str, float] = json.loads(done.stdout)
    return found


def _thing(folder: Path, key: str, size: int) -> dict[str, str]:
    """A file of random bytes, as the process wants to be told of it."""
    path = folder / key
    digest = hashlib.sha256()
    with path.open("wb") as file:
        for start in range(0, size, 1_000_000):
            piece = os.urandom(min(1_000_000, size - start))
            digest.update(piece)
            file.write(piece)
    return {"key": key, "path": str(path), "sha256": digest.hexdigest()}
