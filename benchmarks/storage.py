"""What our storage costs: S3 against bare boto3 on the same server, and the memory of all kinds.

The server is SeaweedFS on this machine, so both sides share the processors with it: of a put's
time most is the server's. The clients run in a process of their own, one call after the other.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from services.seaweed import Seaweed, seaweed

from benchmarks import storage_memory
from benchmarks.report import Figure, ratio

#: Bytes of the object that is put and read, in the long form and in the short one.
SIZE = (64_000_000, 24_000_000)

BUCKET = "benchmark"

#: Seconds a process may take.
LIMIT = 1800.0


def measure(folder: Path, pairs: int, *, short: bool) -> Iterator[Figure]:
    """Speed and CPU as ratios of pairs, then memory over idle."""
    folder.mkdir(parents=True)
    with seaweed(folder) as server:
        server.make_bucket(BUCKET)
        yield from _speeds(_run(server, folder / "source", SIZE[short], pairs))
    yield from storage_memory.measure(folder / "memory", short=short)


def _speeds(spent: dict[str, list[Any]]) -> Iterator[Figure]:
    """Ratios of throughput, where more is better, and of CPU."""
    calls = {
        "put": ("bare put", 0.90, 1.4),
        "put parts": ("bare put", 0.90, 1.4),
        "put known": ("bare put", 0.90, 1.4),
        "open": ("bare open", 0.95, None),
        "open verified": ("bare open", 0.70, None),
    }
    for call, (bare, speed_aim, cpu_aim) in calls.items():
        name = f"s3_{call.replace(' ', '_')}"
        ours, plain = ([one["MB/s"] for one in spent[each]] for each in (call, bare))
        speed = ratio(f"{name}_speed", speed_aim, ours, plain, "MB/s")
        yield Figure(speed.name, speed.value, speed.aim, speed.detail, at_least=True)
        ours, plain = ([one["cpu ms"] for one in spent[each]] for each in (call, bare))
        yield ratio(f"{name}_cpu", cpu_aim, ours, plain, "ms of CPU")


def _run(server: Seaweed, source: Path, size: int, rounds: int) -> dict[str, Any]:
    """What a process of its own has measured."""
    with source.open("wb") as file:
        for _ in range(size // 1_000_000):
            file.write(os.urandom(1_000_000))
    keys = {
        "AWS_ACCESS_KEY_ID": server.access_key,
        "AWS_SECRET_ACCESS_KEY": server.secret_key,
        "AWS_DEFAULT_REGION": "us-east-1",
    }
    command = [sys.executable, "-m", "benchmarks.storage_calls", server.endpoint, BUCKET]
    command += [str(source), str(rounds)]
    done = subprocess.run(
        command, env=os.environ | keys, stdout=subprocess.PIPE, check=True, timeout=LIMIT
    )
    source.unlink()
    found: dict[str, Any] = json.loads(done.stdout)
    return found
