"""How long to go on: with a ledger that gives no reply, and until a job is tried again."""

from __future__ import annotations

import logging
import random
import time
from collections.abc import Callable
from datetime import UTC, datetime
from typing import TypeVar

from uploadmill.backends.ledger.answers import Answer
from uploadmill.backends.ledger.clock import boot_time
from uploadmill.backends.ledger.record import Record
from uploadmill.errors import LedgerUnavailable
from uploadmill.settings import LedgerSettings

log = logging.getLogger("uploadmill.job")

R = TypeVar("R")

#: Seconds between two repetitions of a ledger call whose reply was lost.
REPEAT = 0.2


def persist(call: Callable[[], R], job_id: str, lease: float) -> R | Answer:
    """Repeat a ledger call until it answers, or the *lease* (seconds) is over: then fenced."""
    began = boot_time()
    while True:
        try:
            return call()
        except LedgerUnavailable as error:
            if boot_time() - began > lease:
                log.warning("gave_up", extra={"job": job_id, "reason": str(error)})
                return Answer("fenced")
            time.sleep(REPEAT)


def retry_delay(record: Record, constants: LedgerSettings) -> float:
    """Seconds until a job is tried again: longer the longer it has been open, never in step."""
    age = (datetime.now(UTC) - record.accepted_at).total_seconds()
    delay = min(constants.retry_delay_max, max(constants.retry_delay, age / 10))
    return delay * random.uniform(0.5, 1.5)  # noqa: S311 - spreads retries, keeps no secret
