"""A worker process under measurement: messages wait until it may begin, and it is idle after."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import redis
from kombu import Exchange, Queue

from benchmarks.cpu import cpu_seconds, tree
from uploadmill.wire import QUEUE
from uploadmill.worker.embedded.environment import APP, Environment

#: Seconds between two looks whether a worker has done everything.
LOOK = 0.01

#: Looks in a row that must find nothing to do: for a moment Celery's Redis transport has a message
#: that it has taken and not noted.
LOOKS = 10

#: Seconds a batch may take.
LIMIT = 300.0

#: The workers' queue as a producer names it.
UPLOADS = Queue(QUEUE, Exchange(""), routing_key=QUEUE)


class MeasuredWorker:
    """A worker with one child.

    Args:
        pid: Of its main process.
        broker_url: Where its messages come from.
    """

    def __init__(self, pid: int, broker_url: str) -> None:
        self.pid = pid
        self._redis = redis.Redis.from_url(broker_url)
        self._wait(lambda: len(tree(pid)) == 2)  # reconcile, run at start, has ended

    @property
    def child(self) -> int:
        """The process that runs the jobs."""
        return tree(self.pid)[1]

    def cpu_of(self, send: Callable[[], None]) -> float:
        """CPU seconds of the whole tree for the messages that *send* sends.

        The worker stands still meanwhile, so that it finds all of them waiting.
        """
        os.kill(self.pid, signal.SIGSTOP)
        try:
            send()
            before = cpu_seconds(self.pid)
        finally:
            os.kill(self.pid, signal.SIGCONT)
        self.wait_idle()
        return cpu_seconds(self.pid) - before

    def wait_idle(self) -> None:
        """Return when it has done everything."""
        self._wait(self._idle)

    def close(self) -> None:
        self._redis.close()

    def _idle(self) -> bool:
        return not self._redis.exists(QUEUE, "unacked")

    def _wait(self, done: Callable[[], bool]) -> None:
        limit = time.monotonic() + LIMIT
        seen = 0
        while seen < LOOKS:
            seen = seen + 1 if done() else 0
            if time.monotonic() > limit:
                raise TimeoutError("the worker did not come to the end of its batch")
            time.sleep(LOOK)


@contextmanager
def measured_worker(
    environment: Environment, *, events: bool, app: str = APP, broker_url: str = ""
) -> Iterator[MeasuredWorker]:
    """Run a worker with one child while the block lasts, on a broker of its own if one is named."""
    broker_url = broker_url or environment.settings.broker_url
    started = environment.start_worker(
        {"UPLOADMILL_BROKER_URL": broker_url}, concurrency=1, app=app, events=events
    )
    worker = MeasuredWorker(started.pid, broker_url)
    try:
        yield worker
    finally:
        worker.close()
        started.stop()
