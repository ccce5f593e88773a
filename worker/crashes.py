"""Report children that died at work: the job then waits seconds, not for its lease to run out.

Celery tells the main process which child died, and the table in shared memory what it was working
on. The report goes out from a thread: the event loop waits for nobody.
"""

from __future__ import annotations

import logging
import re
import threading
import time
from collections.abc import Iterable, Iterator
from queue import SimpleQueue
from resource import RUSAGE_CHILDREN
from typing import Any, cast

from billiard.exceptions import WorkerLostError
from celery.worker.request import Request

from uploadmill.backends.ledger.answers import Answer
from uploadmill.backends.ledger.clock import boot_time
from uploadmill.backends.ledger.ledger import Ledger
from uploadmill.errors import LedgerUnavailable
from uploadmill.job import ErrorData
from uploadmill.worker.running import Running, RunningTable, peak_memory
from uploadmill.worker.wiring import UploadmillApp

log = logging.getLogger("uploadmill.crashes")

#: The code under which a crash stands in the record.
WORKER_LOST = "worker_lost"

#: Seconds between two attempts to report while Redis does not answer.
RETRY = 0.5

#: How billiard says what ended a process: ``signal 9 (SIGKILL)``, ``exitcode 3``.
_HOW = re.compile(r"prematurely: (.+?) Job:")

Crash = tuple[Running, str]


class Crashes:
    """What the event loop has noticed and the reporter has not yet reported.

    Args:
        table: What the children work on; made before the fork.
    """

    def __init__(self, table: RunningTable) -> None:
        self._table = table
        self._queue: SimpleQueue[Crash] = SimpleQueue()
        self._largest = 0

    def noticed(self, pid: int, how: str) -> None:
        """The child *pid* has died; *how* in words. Call it before the child is replaced."""
        peak = peak_memory(RUSAGE_CHILDREN)
        found = self._table.of(pid)
        if found is not None:
            self._queue.put((found, f"{how}; {_memory(found, peak, self._largest)}"))
        self._largest = max(peak, self._largest)

    def condemned(self, pid: int, how: str) -> None:
        """The child *pid* is about to be killed. What ends it first may run its ``finally``."""
        self._table.condemn(pid)
        self.noticed(pid, how)

    def __iter__(self) -> Iterator[Crash]:
        """Each crash as it comes, for ever."""
        while True:
            yield self._queue.get()


class CrashReporter(threading.Thread):
    """Reports crashes to the ledger, one after another.

    Args:
        ledger: On connections of its own.
        crashes: Where they come from.
    """

    def __init__(self, ledger: Ledger, crashes: Iterable[Crash]) -> None:
        super().__init__(name="crashes", daemon=True)
        self.ledger = ledger
        self.crashes = crashes

    def run(self) -> None:
        """Report until the process ends: children may die while it shuts down, too."""
        for running, how in self.crashes:
            try:
                self.report(running, how)
            except Exception:
                # The next crash is to be reported all the same; this one costs a lease.
                log.exception("report_failed")

    def report(self, running: Running, how: str) -> None:
        """Report one crash; after a whole lease without an answer the sweeper has taken over."""
        cause = ErrorData(code=WORKER_LOST, step=running.step, message=how)
        began = boot_time()
        while boot_time() - began < self.ledger.constants.lease:
            try:
                answer = self.ledger.crashed(running.job_id, running.token, cause)
            except LedgerUnavailable:
                time.sleep(RETRY)
                continue
            fields = {"job": running.job_id, "step": running.step, "how": how}
            log.error("child_died", extra={**fields, "counted": answer == Answer("ok")})
            return
        log.warning("crash_not_reported", extra={"job": running.job_id, "how": how})


class ReportingRequest(Request):
    """A request whose child is reported when it dies, or is killed for taking too long."""

    def on_failure(self, exc_info: Any, *args: Any, **kwargs: Any) -> Any:
        """The task failed; if that is because its child died, say so."""
        error = getattr(exc_info.exception, "exc", exc_info.exception)
        if isinstance(error, WorkerLostError):
            how = _HOW.search(str(error))
            if pid := self.worker_pid:
                self._crashes.noticed(int(pid), how[1] if how else "for a reason unknown")
        return super().on_failure(exc_info, *args, **kwargs)

    def on_timeout(self, soft: bool, timeout: float) -> Any:  # noqa: FBT001 - Celery's signature
        """The hard time limit is over: Celery kills the child after this call."""
        if not soft and (pid := self.worker_pid):
            self._crashes.condemned(int(pid), f"the hard time limit of {timeout:g} s")
        return super().on_timeout(soft, timeout)

    @property
    def _crashes(self) -> Crashes:
        return cast("UploadmillApp", self.task.app).crashes


def _memory(running: Running, peak: int, largest_before: int) -> str:
    """What is known of a dead child's memory: only the largest of all children's is told."""
    if peak > largest_before:
        return f"its memory peaked at {peak / 1e6:.0f} MB"
    return f"it had used {running.memory / 1e6:.0f} MB of memory before this step"
