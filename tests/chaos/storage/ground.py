"""Two S3 servers, the primary behind a proxy that breaks it; workers; a producer."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import redis
from services.s3_proxy import S3Proxy, s3_proxy
from services.seaweed import Seaweed, seaweed

from chaos.corpus import PIPELINES, Upload
from chaos.ground import SHORT, TESTS
from uploadmill import Uploads
from uploadmill.backends.ledger.names import HEAL, OPEN
from uploadmill.backends.storage import stores_from
from uploadmill.backends.storage.roles import Stores
from uploadmill.worker.embedded.environment import Environment, embedded_environment

#: Quick in both forms: what is asked is where things are, not how long a lease is.
SETTINGS = {
    **SHORT,
    # It is not Redis that breaks, and a look at everything takes a process of its own.
    "UPLOADMILL_LEDGER__RECONCILE": "60",
    "UPLOADMILL_LEDGER__HEAL_GRACE": "0",
    "UPLOADMILL_HEAL__EVERY": "1",
    "UPLOADMILL_HEAL__JOBS_PER_SECOND": "200",
    "UPLOADMILL_HEAL__BYTES_PER_SECOND": "1e9",
    "UPLOADMILL_BREAKER__OPEN": "1",
    # Three calls into a black hole are soon over.
    "UPLOADMILL_PRIMARY__TIMEOUT": "1",
}


class GivenUp(Exception):
    """Raised in a scenario for which nobody waits any more."""


@dataclass
class StorageGround:
    """What a scenario works with.

    Attributes:
        ids: Of the jobs that were accepted, with what was sent.
        struck: How often the primary was broken: requests, or the server.
        given_up: Set when nobody waits for the scenarios any more.
    """

    environment: Environment
    uploads: Uploads
    stores: Stores
    proxy: S3Proxy
    primary: Seaweed
    given_up: threading.Event
    ids: dict[str, Upload] = field(default_factory=dict)
    struck: int = 0

    @contextmanager
    def worker(self, concurrency: int, settings: Mapping[str, str]) -> Iterator[None]:
        """Somebody works while the block lasts, with settings of his own."""
        environ = {"PYTHONPATH": str(TESTS), **settings}
        worker = self.environment.start_worker(
            environ, concurrency=concurrency, app="chaos.storage.app"
        )
        yield
        worker.stop()

    def begin(self) -> None:
        """Forget the jobs and faults of the scenario before."""
        self.ids.clear()
        self.struck = 0

    def submit(self, uploads: Sequence[Upload]) -> list[str]:
        """Enqueue; returns the jobs' ids."""
        jobs = [self.uploads.enqueue(each.content, pipeline=each.pipeline) for each in uploads]
        ids = [job.id for job in jobs]
        self.ids.update(zip(ids, uploads, strict=True))
        return ids

    def wait_ended(self, ids: Sequence[str], seconds: float) -> None:
        """Return when none of these jobs is open any more, or when it takes too long."""
        self._wait(lambda client: {*client.zmscore(OPEN, ids)} == {None}, seconds)

    def wait_healed(self, seconds: float) -> None:
        """Return when nothing waits to be brought home, or when it takes too long."""
        self._wait(lambda client: not client.zcard(HEAL), seconds)

    def _wait(self, done: Callable[[redis.Redis], bool], seconds: float) -> None:
        end = time.monotonic() + seconds
        with redis.Redis.from_url(self.environment.settings.redis_url) as client:
            while not done(client) and time.monotonic() < end:
                if self.given_up.wait(0.1):
                    raise GivenUp


@contextmanager
def storage_ground(
    folder: Path, given_up: threading.Event, *, direct: bool
) -> Iterator[StorageGround]:
    """Servers and a producer while the block lasts.

    Args:
        folder: For data and logs.
        given_up: See :class:`StorageGround`.
        direct: Let the workers talk to the primary itself, not to the proxy before it.
    """
    folder.mkdir(parents=True, exist_ok=True)
    with ExitStack() as stack:
        primary = stack.enter_context(seaweed(folder / "primary"))
        secondary = stack.enter_context(seaweed(folder / "secondary"))
        proxy = stack.enter_context(s3_proxy(primary.port))
        overrides = SETTINGS | primary.settings("primary") | secondary.settings("secondary")
        if not direct:
            overrides["UPLOADMILL_PRIMARY__ENDPOINT_URL"] = proxy.endpoint
        environment = stack.enter_context(
            embedded_environment(
                folder / "mill",
                scan=True,
                overrides=overrides,
                system_signatures=False,
                pipelines=PIPELINES,
            )
        )
        uploads = Uploads(environment.settings)
        stack.callback(uploads.close)
        stores = stores_from(environment.settings)
        stack.callback(stores.primary.close)
        stack.callback(stores.secondary.close)
        yield StorageGround(environment, uploads, stores, proxy, primary, given_up)
