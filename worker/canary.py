"""When to send a canary: now and then, by one worker of all."""

from __future__ import annotations

import subprocess

from uploadmill.backends.ledger.ledger import Ledger
from uploadmill.wire import LEDGER_PREFIX
from uploadmill.worker.alone import first_lately
from uploadmill.worker.errands import Errand, Start, command

#: Set while it is too early for another one.
SENT = LEDGER_PREFIX + "canary"


def canary() -> subprocess.Popen[bytes]:
    """Run ``uploadmill canary``, told in the log."""
    return command("canary", "--log")


class Canary(Errand):
    """Starts ``uploadmill canary`` where no worker has done so lately.

    Args:
        ledger: On connections of its own.
        every: Seconds between two looks.
        start: Starts it.
    """

    def __init__(self, ledger: Ledger, every: float, start: Start = canary) -> None:
        super().__init__("canary", ledger, every, start)
        self._every = every

    def due(self) -> bool:
        """Whether it is this worker's turn."""
        return first_lately(self._ledger.redis, SENT, self._every)
