"""A process that puts and reads an object on S3, through our storage and through bare boto3."""

from __future__ import annotations

import hashlib
import json
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import boto3
from botocore.config import Config

from uploadmill.backends.storage.s3 import S3Storage
from uploadmill.backends.storage.sources import CHUNK

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


def main() -> None:
    endpoint, bucket, source, rounds = sys.argv[1:]
    calls = Calls(endpoint, bucket, Path(source))
    print(json.dumps(speed(calls, int(rounds))))


if __name__ == "__main__":
    main()
