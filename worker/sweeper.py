"""Wake workers for jobs that nobody looks after: the reason why no message needs to arrive."""

from __future__ import annotations

import logging
import random
import threading
from collections.abc import Callable

from uploadmill.backends.ledger.ledger import Ledger
from uploadmill.errors import LedgerUnavailable

log = logging.getLogger("uploadmill.sweeper")

#: Most jobs woken in one sweep.
LIMIT = 200


class Sweeper(threading.Thread):
    """Once in a while publishes a wake for every job that is due.

    Args:
        ledger: On connections of its own: this thread lives beside the pool's forks.
        publish: Sends a wake; False when the broker did not take it. Never raises.
        interval: Seconds between two sweeps, with jitter.
    """

    def __init__(self, ledger: Ledger, publish: Callable[[str], bool], interval: float) -> None:
        super().__init__(name="sweeper", daemon=True)
        self.ledger = ledger
        self.publish = publish
        self.interval = interval
        self._stopped = threading.Event()

    def run(self) -> None:
        """Sweep until stopped; a Redis that is away is asked again next time."""
        while not self._stopped.wait(self.interval * random.uniform(0.8, 1.2)):  # noqa: S311
            self.sweep()

    def sweep(self) -> None:
        """Wake what is due now."""
        try:
            due = self.ledger.due(LIMIT)
        except LedgerUnavailable as error:
            log.warning("sweep_skipped", extra={"reason": str(error)})
            return
        sent = 0
        for job_id in due:
            if self._stopped.is_set() or not self.publish(job_id):
                break
            sent += 1
        if due:
            log.info("swept", extra={"due": len(due), "sent": sent})

    def stop(self) -> None:
        """End the thread; returns when it has ended, or after two seconds."""
        self._stopped.set()
        self.join(timeout=2)
        self.ledger.close()
