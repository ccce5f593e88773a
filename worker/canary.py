"""When to send a canary: now and then, by one worker of all."""

from __future__ import annotations

import subprocess
from collections.abc import Callable

from uploadmill.backends.ledger.ledger import Ledger
from uploadmill.wire import LEDGER_PREFIX
from uploadmill.worker.errands import Errand, command

#: Set while it is too early for another one.
SENT = LEDGER_PREFIX + "canary"

#: Which part of the time between two looks of a worker nobody else sends one.
QUIET = 0.7


class Canary(Errand):
    """Starts ``uploadmill canary`` where no worker has done so lately.

    Args:
        ledger: On connections of its own.
        every: Seconds between two looks.
        start: Starts it.
    """

    def __init__(
        self,
        ledger: Ledger,
        every: float,
        start: Callable[[], subprocess.Popen[bytes]] | None = None,
    ) -> None:
        super().__init__("canary", ledger, every)
        self._quiet = max(1, round(every * QUIET * 1000))
        self._start = start or canary

    def due(self) -> bool:
        """Whether it is this worker's turn."""
        return bool(self._ledger.redis.set(SENT, 1, px=self._quiet, nx=True))

    def send(self) -> subprocess.Popen[bytes]:
        """Start one."""
        return self._start()


def canary() -> subprocess.Popen[bytes]:
    """Run ``uploadmill canary``, told in the log."""
    return command("canary", "--log")
