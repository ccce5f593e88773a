"""A process that moves an object to and from S3, through our storage and through bare boto3."""

from __future__ import annotations

import gc
import hashlib
import json
import math
import os
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import boto3
from botocore.config import Config

from benchmarks.cpu import memory_mb, reset_peak
from uploadmill.backends.ledger.heal_copy import Copier
from uploadmill.backends.ledger.heal_pace import Pace
from uploadmill.backends.ledger.whole import has_bytes
from uploadmill.backends.storage import FailoverStorage
from uploadmill.backends.storage.keys import DEFAULT_TYPE
from uploadmill.backends.storage.s3 import S3Storage
from uploadmill.backends.storage.sources import CHUNK
from uploadmill.job import OutputFile

#: Seconds the server may stay silent, on both sides: it may be busy.
PATIENCE = 120

Call = Callable[[], object]


class Calls:
    """The same things done in two ways.

    Args:
        endpoint: Of the server.
        bucket: To be filled.
        source: The file that is put.
    """

    def __init__(self, endpoint: str, bucket: str, source: Path) -> None:
        self.bucket = bucket
        self.source = source
        options: dict[str, Any] = {"endpoint_url": endpoint, "read_timeout": float(PATIENCE)}
        self.storage = S3Storage(bucket, name="ours", **options)
        self.by_parts = S3Storage(bucket, name="parts", stream_limit=0, **options)
        # Nobody listens there.
        gone = S3Storage(bucket, name="gone", endpoint_url="http://127.0.0.1:9")
        self.failing_over = FailoverStorage(gone, self.storage)
        self.home = S3Storage(bucket, "home", name="home", **options)
        # By default boto3 verifies what it reads; not so here, it would flatter our plain open.
        config = Config(read_timeout=PATIENCE, response_checksum_validation="when_required")
        self.bare = boto3.client("s3", endpoint_url=endpoint, config=config)
        with source.open("rb") as file:
            self.sha256 = hashlib.file_digest(file, "sha256").hexdigest()

    def all(self) -> dict[str, Call]:
        """By name; those that are compared one after the other."""
        return {
            "bare put": self.bare_put,
            "put": lambda: self.storage.put("ours", self.source),
            "put parts": lambda: self.by_parts.put("parts", self.source),
            "put known": lambda: self.storage.put("ours", self.source, sha256=self.sha256),
            "bare open": self.bare_open,
            "open": self.open,
            "open verified": lambda: self.open(verify=True),
        }

    def bare_put(self) -> None:
        """The least CPU of boto3's ways: in one request, its sha256 made by boto3."""
        with self.source.open("rb") as file:
            self.bare.put_object(
                Bucket=self.bucket, Key="bare", Body=file, ChecksumAlgorithm="SHA256"
            )

    def bare_open(self) -> None:
        """Of what bare boto3 put; nothing is verified."""
        self._read(self.bare.get_object(Bucket=self.bucket, Key="bare")["Body"])

    def open(self, *, verify: bool = False) -> None:
        with self.storage.open("ours", verify=verify) as reader:
            self._read(reader)

    def copy(self) -> None:
        assert self.sha256 == self.storage.copy("ours", "copy").sha256

    def fail_over(self) -> None:
        """To the secondary, after three attempts; the sha256 is found anew at each."""
        assert self.sha256 == self.failing_over.put("failed over", self.source).sha256

    def heal(self) -> None:
        """As a healer does: copy, and read the copy before the original may go."""
        size = self.source.stat().st_size
        made = OutputFile(
            key="failed over", content_type=DEFAULT_TYPE, size=size, sha256=self.sha256
        )
        Copier(self.home, self.storage, Pace(math.inf)).copy(made)
        assert has_bytes(self.home, made)

    def _read(self, stream: Any) -> None:
        size = sum(map(len, iter(lambda: stream.read(CHUNK), b"")))
        assert size == self.source.stat().st_size


def speed(calls: Calls, rounds: int) -> dict[str, list[dict[str, float]]]:
    """Of each call, alternately; the first round warms up and is dropped."""
    spent: dict[str, list[dict[str, float]]] = {name: [] for name in calls.all()}
    megabytes = calls.source.stat().st_size / 1e6
    for _ in range(rounds + 1):
        for name, call in calls.all().items():
            wall, cpu = time.perf_counter(), time.process_time()
            call()
            wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
            spent[name].append({"MB/s": megabytes / wall, "cpu ms": cpu * 1000})
    return {name: found[1:] for name, found in spent.items()}


def memory(calls: Calls) -> dict[str, dict[str, float]]:
    """The highest resident memory of each call over what the process has between calls."""
    small = calls.source.with_name("small")
    small.write_bytes(b"small")
    calls.storage.put("small", small)
    calls.storage.copy("small", "small-copy")
    calls.storage.read("small", 5)
    calls.failing_over.put("small", small)
    calls.home.put("small", small)
    found = {}
    measured: dict[str, Call] = {"put": calls.all()["put"], "open": calls.open, "copy": calls.copy}
    measured |= {"failover": calls.fail_over, "heal": calls.heal}
    for name, call in measured.items():
        gc.collect()
        idle = memory_mb(os.getpid())
        reset_peak(os.getpid())
        call()
        found[name] = {"idle": idle, "peak": memory_mb(os.getpid(), "VmHWM")}
    return found


def main() -> None:
    endpoint, bucket, source, rounds = sys.argv[1:]
    calls = Calls(endpoint, bucket, Path(source))
    wants_memory = calls.source.name == "memory"
    print(json.dumps(memory(calls) if wants_memory else speed(calls, int(rounds))))


if __name__ == "__main__":
    main()
