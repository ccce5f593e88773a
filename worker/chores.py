"""What a worker's main process does now and then, in one thread."""

from __future__ import annotations

import logging
import random
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from uploadmill.errors import LedgerUnavailable

log = logging.getLogger("uploadmill.chores")


@dataclass
class Chore:
    """Something to be done every so many seconds.

    Attributes:
        every: Seconds, with jitter.
        do: Does it; may raise, and is done again next time.
        next: When, by the monotonic clock; at once to begin with.
    """

    every: float
    do: Callable[[], object]
    next: float = 0.0


class Chores(threading.Thread):
    """Does each chore when it is time, one after another."""

    def __init__(self, chores: Sequence[Chore]) -> None:
        super().__init__(name="chores", daemon=True)
        self._chores = chores
        self._stopped = threading.Event()

    def run(self) -> None:
        """Do what is due until stopped."""
        while not self._stopped.is_set():
            for chore in self._chores:
                if time.monotonic() >= chore.next and not self._stopped.is_set():
                    _do(chore)
            due = min(chore.next for chore in self._chores)
            self._stopped.wait(max(0.0, due - time.monotonic()))

    def stop(self) -> None:
        """End the thread; returns when it has ended, or after two seconds."""
        self._stopped.set()
        self.join(timeout=2)


def _do(chore: Chore) -> None:
    try:
        chore.do()
    except LedgerUnavailable as error:
        log.info("chore_put_off", extra={"reason": str(error)})
    except Exception:
        # The others are to be done all the same, and this one again.
        log.exception("chore_failed")
    chore.next = time.monotonic() + chore.every * random.uniform(0.8, 1.2)  # noqa: S311
