"""The servers of a scenario, and the ground upon them."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any

from services.rabbitmq import rabbitmq
from services.seaweed import seaweed

from chaos.book import Book
from chaos.corpus import PIPELINES, Corpus
from chaos.ground import SHORT, Ground
from chaos.shelves import Bucket, Shelf, folders_of
from chaos.watcher import Watcher
from uploadmill import Uploads
from uploadmill.worker.embedded.environment import Environment, embedded_environment
from uploadmill.worker.embedded.valkey import EmbeddedValkey


@contextmanager
def ground(
    folder: Path,
    *,
    seed: int,
    short: bool,
    jobs: int,
    drain_limit: float,
    faults: Mapping[str, Any],
    settings: Mapping[str, str],
    pipelines: Mapping[str, Any],
    on_rabbitmq: bool,
    on_s3: Sequence[str],
) -> Iterator[Ground]:
    """Servers and a producer while the block lasts; everything it started is gone afterwards."""
    folder.mkdir(parents=True, exist_ok=True)
    overrides = {**(SHORT if short else {}), **settings}
    with ExitStack() as stack:
        broker = stack.enter_context(rabbitmq(folder / "rabbitmq")) if on_rabbitmq else None
        if broker is not None:
            overrides["UPLOADMILL_BROKER_URL"] = broker.url
        buckets = _buckets(stack, folder, on_s3, overrides)
        environment = _environment(stack, folder / "mill", overrides, pipelines)
        uploads = Uploads(environment.settings)
        stack.callback(uploads.close)
        book = Book(folder / "faults.txt")
        url = environment.settings.redis_url
        shelves = folders_of(environment.folder) | buckets
        made = Ground(
            environment=environment,
            uploads=uploads,
            book=book,
            corpus=Corpus(seed),
            shelves=shelves,
            watcher=Watcher(shelves, url, book),
            short=short,
            faults=dict(faults),
            jobs=jobs,
            drain_limit=drain_limit,
            valkey=EmbeddedValkey(url, environment.servers[0]),
            rabbitmq=broker,
        )
        stack.callback(_kill_all, made)
        made.watcher.start()
        yield made


def _environment(
    stack: ExitStack, folder: Path, overrides: Mapping[str, str], pipelines: Mapping[str, Any]
) -> Environment:
    return stack.enter_context(
        embedded_environment(
            folder,
            scan=True,
            overrides=overrides,
            system_signatures=False,
            pipelines={**PIPELINES, **pipelines},
        )
    )


def _buckets(
    stack: ExitStack, folder: Path, roles: Sequence[str], overrides: dict[str, str]
) -> dict[str, Shelf]:
    """A bucket for each of these stores, on one S3 server; *overrides* lead there."""
    if not roles:
        return {}
    server = stack.enter_context(seaweed(folder / "s3"))
    buckets: dict[str, Shelf] = {}
    for role in roles:
        overrides |= server.settings(role)
        bucket = Bucket(server.endpoint, server.access_key, server.secret_key, role, "mill/")
        stack.callback(bucket.close)
        buckets[role] = bucket
    return buckets


def _kill_all(made: Ground) -> None:
    """Nobody may stay, not even one that stands still."""
    for worker in made.environment.workers:
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(worker.pid, signal.SIGKILL)
    made.valkey.server.stop()
