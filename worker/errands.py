"""Work that a worker's main process has done, now and then, by a process of its own.

Storage clients and long walks through stores have no place in the main process: the pool's
children are forked from it.
"""

from __future__ import annotations

import logging
import random
import subprocess
import sys
import threading
import time
from abc import abstractmethod
from collections.abc import Callable

import redis

from uploadmill.backends.ledger.ledger import Ledger

log = logging.getLogger("uploadmill.errands")

#: Starts a process of its own.
Start = Callable[[], subprocess.Popen[bytes]]

#: Seconds that a process has to end when it is asked to; all that it does may be broken off.
END = 2.0


class Errand(threading.Thread):
    """Looks now and then whether something is to be done, and starts a process that does it.

    Args:
        name: Of the thread.
        ledger: On connections of its own; closed at the end.
        every: Seconds between two looks, with jitter.
        start: Starts what does it.
        longest: Most seconds until the next process after some that failed in a row.
    """

    def __init__(
        self, name: str, ledger: Ledger, every: float, start: Start, longest: float = 0.0
    ) -> None:
        super().__init__(name=name, daemon=True)
        self._ledger = ledger
        self._look_every = every
        self._start = start
        self._longest = longest
        self._pause = self._pause_ends = 0.0
        self._stopped = threading.Event()
        self._process: subprocess.Popen[bytes] | None = None

    def run(self) -> None:
        """Look now and then until stopped."""
        while not self._stopped.wait(self._look_every * random.uniform(0.8, 1.2)):  # noqa: S311
            try:
                self.look()
            except Exception:
                # Without this thread the work waits for the next start.
                log.exception("look_failed", extra={"errand": self.name})

    def look(self) -> None:
        """Start a process if there is need and none of ours is running; Redis may be out."""
        if self._at_work():
            return
        try:
            if self.rested() and self.due() and not self._stopped.is_set():
                self._process = self._start()
        except redis.RedisError as error:
            extra = {"errand": self.name, "reason": type(error).__name__}
            log.debug("not_looked", extra=extra)

    def rested(self) -> bool:
        """Whether the pause is over that processes which failed have made necessary."""
        return time.monotonic() >= self._pause_ends

    def forgive(self) -> None:
        """Let the next process begin at once, whatever became of those before."""
        self._pause = self._pause_ends = 0.0

    def _at_work(self) -> bool:
        """Whether a process of ours runs; after one that failed begins a pause, twice the last."""
        if self._process is None or (status := self._process.poll()) is None:
            return self._process is not None
        self._process = None
        self.forgive() if status == 0 else self._grow_pause(status)
        return False

    def _grow_pause(self, status: int) -> None:
        self._pause = min(self._longest, 2 * max(self._look_every, self._pause))
        self._pause_ends = time.monotonic() + self._pause
        extra = {"errand": self.name, "status": status, "pause": self._pause}
        # Without pauses failing is usual, while a store is out, and the process has said why; but
        # one that was killed has said nothing.
        level = logging.WARNING if self._longest or status < 0 else logging.DEBUG
        log.log(level, "errand_failed", extra=extra)

    def stop(self) -> None:
        """End the thread, and the process it may have started: the next one begins again."""
        self._stopped.set()
        self.join(timeout=2)
        if self._process is not None:
            _end(self._process)
        self._ledger.close()

    @abstractmethod
    def due(self) -> bool:
        """Whether there is something to be done, and nobody is at it."""


def _end(process: subprocess.Popen[bytes]) -> None:
    """End a process: one that waits for a disk or a decoder may be deaf to a request."""
    if process.poll() is None:
        process.terminate()
    try:
        process.wait(END)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def command(*words: str) -> subprocess.Popen[bytes]:
    """Run a command of ``uploadmill`` as a process of its own."""
    line = [sys.executable, "-m", "uploadmill.worker.cli", *words]
    return subprocess.Popen(line, stdin=subprocess.DEVNULL)
