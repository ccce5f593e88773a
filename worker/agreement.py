"""What all workers on one broker must have set alike: who may say it, and who has to leave.

It is said in the broker's own Redis, and forgotten when that is emptied or out for long. Who
was there before then speaks first; so a newcomer with other settings never sends a fleet away.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable

from uploadmill.errors import InvalidSettings, LedgerUnavailable
from uploadmill.worker.roster import HOLD, Roster

log = logging.getLogger("uploadmill.worker")

#: Looks at which nobody has said anything before a worker speaks that has never agreed: those
#: who have are to come first, and make one look in that time at least.
SILENT = 2


class Agreement:
    """One worker's part in it.

    Args:
        roster: Says and compares.
        leave: Ends this worker, once its jobs are given back.
    """

    def __init__(self, roster: Roster, leave: Callable[[], None]) -> None:
        self._roster = roster
        self._leave = leave
        self._left = False
        self._silent = 0
        #: When this worker first and last agreed, in an unbroken time; None: it never did.
        self._since: float | None = None
        self._last = 0.0

    def begin(self) -> None:
        """At start; a broker that is out is asked again later.

        Raises:
            InvalidSettings: The others have it otherwise.
        """
        try:
            self._agree()
        except LedgerUnavailable as error:
            log.warning("not_agreed", extra={"reason": str(error)})

    def keep(self) -> None:
        """Say it again, now and then, or leave.

        Raises:
            LedgerUnavailable: The broker does not serve us.
        """
        if self._left:
            return
        try:
            if self._since is not None or self._may_speak():
                self._agree()
        except InvalidSettings as error:
            if self._established():
                self._roster.insist()
                return
            self._left = True
            # Only the settings are at fault, and the error says which.
            log.error("disagreed", extra={"reason": str(error)})  # noqa: TRY400
            self._leave()

    def _agree(self) -> None:
        self._roster.agree()
        now = time.monotonic()
        if self._since is None or now - self._last >= HOLD:
            self._since = now
        self._last = now

    def _may_speak(self) -> bool:
        """Whether somebody has said the same, or nobody anything for so long."""
        if self._roster.compare():
            return True
        self._silent += 1
        return self._silent > SILENT

    def _established(self) -> bool:
        """Whether it held until now: then Redis was emptied, and who says otherwise is new."""
        now = time.monotonic()
        return self._since is not None and now - self._since >= HOLD and now - self._last < HOLD
