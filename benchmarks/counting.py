"""How often a photo job calls its stores, and how many of the calls are the protocol's.

The calls are counted from outside, around the real stores: what one call does inside its store (a
multipart upload, a rename) counts as one.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import redis

from benchmarks.pictures import draw
from benchmarks.report import Figure
from benchmarks.workers import measured_worker
from uploadmill import Uploads
from uploadmill.backends.ledger.settle import Settler
from uploadmill.backends.storage.base import Storage
from uploadmill.backends.storage.roles import Stores
from uploadmill.producer.clients import Clients, connect
from uploadmill.settings import Settings
from uploadmill.wire import ENVELOPES, OUTCOMES, UPLOADS
from uploadmill.worker.embedded.environment import embedded_environment

APP = "benchmarks.counting_app"

#: Small writes for each job: a worker's outcome and ``result.json``, a producer's envelope.
WORKER_AIM, PRODUCER_AIM = 2, 1

#: What a job would do without a protocol: bytes in, bytes out.
MOVES = {"put bytes", "open bytes", "put output"}

#: Jobs over which the calls are divided: each must make the same ones.
JOBS = 5

#: Of the photograph.
SIZE = (640, 480)

ROLES = ("staging", "primary", "secondary", "quarantine")


def measure(folder: Path) -> Iterator[Figure]:
    """Calls for each job of a stored photograph, worker's and producer's."""
    with embedded_environment(folder, scan=True, system_signatures=False) as environment:
        photo = draw(folder / "photo.jpg", *SIZE)
        settings = environment.settings
        with (
            closing(Tally(settings.redis_url, "producer")) as tally,
            closing(_counting_producer(settings, tally)) as uploads,
            measured_worker(environment, events=False, app=APP) as worker,
        ):
            worker.cpu_of(lambda: _enqueue(uploads, photo, 1))
            tally.forget()
            worker.cpu_of(lambda: _enqueue(uploads, photo, JOBS))
            calls = tally.calls()
    assert calls["worker"]["put result"] == JOBS  # a job that was not stored calls less
    for who, aim in (("worker", WORKER_AIM), ("producer", PRODUCER_AIM)):
        theirs = {name: count / JOBS for name, count in calls[who].items()}
        own = {name: count for name, count in theirs.items() if name not in MOVES}
        writes = sum(count for name, count in own.items() if name.startswith("put "))
        yield Figure(f"{who}_protocol_writes", writes, aim, f"a job; all calls: {_listed(theirs)}")
        yield Figure(f"{who}_protocol_calls", sum(own.values()), None, f"a job: {_listed(own)}")


def _counting_producer(settings: Settings, tally: Tally) -> Uploads:
    def connected(settings: Settings) -> Clients:
        made = connect(settings)
        return replace(made, settler=Settler(made.ledger, counted(made.stores, tally)))

    return Uploads(settings, connect=connected)


def _enqueue(uploads: Uploads, photo: Path, jobs: int) -> None:
    for _ in range(jobs):
        uploads.enqueue(photo, pipeline="photo")


def _listed(calls: Mapping[str, float]) -> str:
    return ", ".join(f"{count:g} {name}" for name, count in sorted(calls.items()))


class Tally:
    """Calls of stores by whoever makes them, kept in a Redis that all of them reach.

    Args:
        redis_url: The ledger's; the counts are kept beside it.
        who: Makes the calls that are counted here.
    """

    def __init__(self, redis_url: str, who: str) -> None:
        self._redis = redis.Redis.from_url(
            redis_url.removesuffix("/0") + "/2", decode_responses=True
        )
        self._who = who

    def count(self, method: str, key: str) -> None:
        """One call more."""
        self._redis.hincrby(self._who, f"{method} {_kind(key)}".strip())

    def forget(self) -> None:
        """Begin anew."""
        self._redis.flushdb()

    def close(self) -> None:
        """Give the connection back."""
        self._redis.close()

    def calls(self) -> dict[str, dict[str, int]]:
        """How many of each, by who made them."""
        found = {who: self._redis.hgetall(who) for who in ("worker", "producer")}
        return {
            who: {name: int(count) for name, count in cast("dict[str, str]", calls).items()}
            for who, calls in found.items()
        }


def _kind(key: str) -> str:
    """What lies under a key, in one word."""
    folders = {UPLOADS: "bytes", ENVELOPES: "envelope", OUTCOMES: "outcome"}
    for folder, kind in folders.items():
        if key.startswith(folder):
            return kind
    if key.endswith("/result.json"):
        return "result"
    return "output" if key else ""


def counted(stores: Stores, tally: Tally) -> Stores:
    """The same stores, each call of them counted."""
    around = {role: CountingStorage(getattr(stores, role), tally.count) for role in ROLES}
    return replace(stores, **cast("dict[str, Any]", around))


class CountingStorage:
    """A store that tells of each call of it.

    Args:
        storage: The real one.
        count: Takes the name of a method, and the key it is called for.
    """

    def __init__(self, storage: Storage, count: Callable[[str, str], None]) -> None:
        self._storage = storage
        self._count = count

    def __getattr__(self, name: str) -> Any:
        value = getattr(self._storage, name)
        if not callable(value):
            return value

        def call(*args: Any, **options: Any) -> Any:
            self._count(name, str(args[0]) if args else "")
            return value(*args, **options)

        return call
