"""Keep the lease of the job this process works on, and each step's time limit.

One daemon thread per process, asleep while there is no job. It stands still during a C call
that holds the interpreter lock; the lease is long enough for that, and the sweeper and the
fence for when it is not.
"""

from __future__ import annotations

import logging
import math
import os
import threading
from collections.abc import Callable
from dataclasses import dataclass

from uploadmill.backends.ledger.answers import Answer, Terminal
from uploadmill.backends.ledger.clock import boot_time
from uploadmill.backends.ledger.ledger import Ledger
from uploadmill.backends.ledger.proposals import error_data
from uploadmill.errors import LedgerUnavailable, StepTimeout

log = logging.getLogger("uploadmill.lease")

#: Seconds between two attempts to renew while Redis does not answer.
RETRY = 0.5

#: Exit status of a child that ended itself because a step ran too long (EX_TEMPFAIL).
EXIT_STEP_TIMEOUT = 75


@dataclass(slots=True)
class Held:
    """A lease, as its keeper sees it: when it was last good, and until when its step may run."""

    job_id: str
    token: str
    step: str
    limit: float
    began: float
    renewed: float
    lost: bool = False


class LeaseKeeper:
    """Renews one lease at a time.

    Args:
        ledger: A ledger of its own connections, used by the keeper's thread.
        end: Called when a step is over its limit, after the job was given back.
    """

    def __init__(self, ledger: Ledger, end: Callable[[int], None] = os._exit) -> None:
        self.ledger = ledger
        self.end = end
        self._held: Held | None = None
        self._changed = threading.Condition()
        self._thread: threading.Thread | None = None
        #: When the thread looks again by itself, whatever is held by then.
        self._wakes = math.inf

    def hold(self, job_id: str, token: str, step: str, limit: float) -> None:
        """Keep this lease from now on, for at most *limit* seconds.

        One that is kept already goes on as it is: only its limit begins anew.
        """
        now = boot_time()
        with self._changed:
            kept = self._held if self._held and self._held.token == token else None
            renewed, lost = (kept.renewed, kept.lost) if kept else (now, False)
            self._held = Held(job_id, token, step, limit, now, renewed, lost)
            if self._thread is None:
                self._thread = threading.Thread(target=self._keep, name="lease", daemon=True)
                self._thread.start()
            # Waking the thread takes longer than an empty step; it finds out when it wakes.
            elif now + min(limit, self.ledger.constants.renew) < self._wakes:
                self._changed.notify()

    def drop(self) -> None:
        """Keep no lease; the thread finds out when it wakes."""
        with self._changed:
            self._held = None

    def _keep(self) -> None:
        while True:
            held = self._held
            delay = self._look(held) if held else None
            with self._changed:
                if self._held is held:
                    self._wakes = math.inf if delay is None else boot_time() + delay
                    self._changed.wait(delay)

    def _look(self, held: Held) -> float:
        """Look after this lease; this thread outlives whatever happens, or no lease is kept."""
        try:
            return self._look_after(held)
        except Exception:
            log.exception("lease_not_looked_after", extra={"job": held.job_id})
            return RETRY

    def _look_after(self, held: Held) -> float:
        """Do what is due for this lease; seconds until the next look are returned."""
        now, interval = boot_time(), self.ledger.constants.renew
        over = held.began + held.limit
        if now >= over:
            self._give_up(held)
        if not held.lost and now >= held.renewed + interval:
            self._renew(held, now)
        due = held.renewed + interval - now
        return max(0.0, min(due if due > 0 else min(RETRY, interval), over - now))

    def _renew(self, held: Held, now: float) -> None:
        try:
            answer = self.ledger.renew(held.job_id, held.token)
        except LedgerUnavailable as error:
            log.warning("lease_not_renewed", extra={"job": held.job_id, "reason": str(error)})
            return
        held.renewed = now
        if isinstance(answer, Terminal) or (isinstance(answer, Answer) and answer.name != "ok"):
            held.lost = True

    def _give_up(self, held: Held) -> None:
        """End this process: its step cannot be interrupted otherwise."""
        with self._changed:
            if self._held is not held:
                return
            error = StepTimeout(held.step, f"ran longer than {held.limit:g} s")
            log.error("step_timeout", extra={"job": held.job_id, "step": held.step})
            try:
                self.ledger.release(
                    held.job_id, held.token, counted=True, error=error_data(error, held.step)
                )
            except LedgerUnavailable:
                log.warning("lease_left_to_run_out", extra={"job": held.job_id})
            self.end(EXIT_STEP_TIMEOUT)
            self._held = None
