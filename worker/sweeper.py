"""Wake workers for jobs that nobody looks after: the reason why no message needs to arrive."""

from __future__ import annotations

import logging
import random
import threading
from collections.abc import Callable, Sequence

from uploadmill.backends.ledger.ledger import Ledger
from uploadmill.errors import LedgerUnavailable
from uploadmill.worker.backlog import Backlog, BacklogUnknown
from uploadmill.worker.forks import NO_FORK

log = logging.getLogger("uploadmill.sweeper")

#: Most jobs woken in one sweep, and in one second by all sweepers of a ledger together.
LIMIT = 200

#: Seconds until a job is due again whose wake the broker did not take.
RETRY = 2.0


class Sweeper(threading.Thread):
    """Once in a while publishes a wake for every job that is due and has none in the queue.

    Args:
        ledger: On connections of its own: this thread lives beside the pool's forks.
        backlog: What waits in the queue.
        publish: Sends a wake; False when the broker did not take it. Never raises.
        interval: Seconds between two sweeps, with jitter.
    """

    def __init__(
        self,
        ledger: Ledger,
        backlog: Backlog,
        publish: Callable[[str], bool],
        interval: float,
    ) -> None:
        super().__init__(name="sweeper", daemon=True)
        self.ledger = ledger
        self.backlog = backlog
        self.publish = publish
        self.interval = interval
        self._stopped = threading.Event()

    def run(self) -> None:
        """Sweep until stopped; whatever happens, there is a next time."""
        while not self._stopped.wait(self.interval * random.uniform(0.8, 1.2)):  # noqa: S311
            try:
                self.sweep()
            except Exception:
                # Without this thread a lost message is a lost job.
                log.exception("sweep_failed")

    def sweep(self) -> None:
        """Wake what is due now."""
        try:
            # In this order: a job accepted in between is not due, whatever the queue showed.
            with NO_FORK:
                heads = self.backlog.heads()
            due = self.ledger.due(LIMIT, heads=heads, rate=LIMIT)
            sent = self._publish(due)
            if sent < len(due):
                self.ledger.unsent(due[sent:], RETRY)
        except (LedgerUnavailable, BacklogUnknown) as error:
            log.warning("sweep_skipped", extra={"reason": str(error)})
            return
        if due:
            log.info("swept", extra={"due": len(due), "sent": sent})

    def _publish(self, due: Sequence[str]) -> int:
        """Send a wake for each, up to the first that the broker does not take."""
        for sent, job_id in enumerate(due):
            if self._stopped.is_set() or not self._send(job_id):
                return sent
        return len(due)

    def _send(self, job_id: str) -> bool:
        # One after another, so that a fork waits for one at most.
        with NO_FORK:
            return self.publish(job_id)

    def stop(self) -> None:
        """End the thread; returns when it has ended, or after two seconds."""
        self._stopped.set()
        self.join(timeout=2)
        self.ledger.close()
        self.backlog.close()
