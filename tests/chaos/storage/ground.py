"""Two S3 servers, the primary behind a proxy that breaks it; workers; a producer."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import redis
from services.s3_proxy import Fault, S3Proxy, s3_proxy
from services.seaweed import Seaweed, seaweed

from chaos.corpus import PIPELINES, Upload
from chaos.ground import SHORT, TESTS
from uploadmill import Uploads
from uploadmill.backends.ledger.ledger import HEAL, OPEN
from uploadmill.backends.storage import stores_from
from uploadmill.backends.storage.roles import Stores
from uploadmill.worker.embedded.environment import Environment, embedded_environment

#: Quick in both forms: what is asked is where things are, not how long a lease is.
SETTINGS = {
    **SHORT,
    "UPLOADMILL_LEDGER__HEAL_GRACE": "0",
    "UPLOADMILL_HEAL__EVERY": "0.5",
    "UPLOADMILL_BREAKER__OPEN": "1",
    # Three calls into a black hole are soon over.
    "UPLOADMILL_PRIMARY__TIMEOUT": "1",
}


@dataclass
class StorageGround:
    """What a scenario works with.

    Attributes:
        ids: Of the jobs that were accepted, with what was sent.
    """

    environment: Environment
    uploads: Uploads
    stores: Stores
    proxy: S3Proxy
    primary: Seaweed
    ids: dict[str, Upload] = field(default_factory=dict)

    def start_worker(self, concurrency: int) -> None:
        path = {"PYTHONPATH": str(TESTS)}
        self.environment.start_worker(path, concurrency=concurrency, app="chaos.storage.app")

    def begin(self) -> None:
        """Forget the jobs and faults of the scenario before."""
        self.ids.clear()
        self.proxy.struck = 0

    def submit(self, upload: Upload) -> None:
        job = self.uploads.enqueue(upload.content, pipeline=upload.pipeline)
        self.ids[job.id] = upload

    @contextmanager
    def broken(self, fault: Fault | signal.Signals) -> Iterator[None]:
        """The primary is broken while the block lasts: by the proxy, or the server itself."""
        if isinstance(fault, signal.Signals):
            os.kill(self.primary.pid, fault)
            self.proxy.struck += 1
        else:
            self.proxy.fault = fault
        try:
            yield
        finally:
            self.proxy.fault = None
            if fault is signal.SIGSTOP:
                self.primary.thaw()

    def wait_ended(self, seconds: float) -> None:
        """Return when no job is open any more, or when it takes too long."""
        self._wait(lambda client: not client.zcard(OPEN), seconds)

    def wait_healed(self, seconds: float) -> None:
        """Return when nothing waits to be brought home, or when it takes too long."""
        self._wait(lambda client: not client.zcard(HEAL), seconds)

    def _wait(self, done: Callable[[redis.Redis], bool], seconds: float) -> None:
        end = time.monotonic() + seconds
        with redis.Redis.from_url(self.environment.settings.redis_url) as client:
            while not done(client) and time.monotonic() < end:
                time.sleep(0.1)


@contextmanager
def storage_ground(folder: Path, settings: Mapping[str, str]) -> Iterator[StorageGround]:
    """Servers and a producer while the block lasts."""
    folder.mkdir(parents=True, exist_ok=True)
    with ExitStack() as stack:
        primary = stack.enter_context(seaweed(folder / "primary"))
        secondary = stack.enter_context(seaweed(folder / "secondary"))
        proxy = stack.enter_context(s3_proxy(primary.port))
        overrides = SETTINGS | primary.settings("primary") | secondary.settings("secondary")
        overrides |= {"UPLOADMILL_PRIMARY__ENDPOINT_URL": proxy.endpoint, **settings}
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
        yield StorageGround(environment, uploads, stores, proxy, primary)
