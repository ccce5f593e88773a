"""Timers that were cancelled, and that Celery keeps until their time has come."""

from __future__ import annotations

import heapq
from typing import Any


def forget_cancelled(timer: Any) -> None:
    """Take what was cancelled out of kombu's *timer*; call it from the timer's own event loop.

    Each job has a timer for its hard time limit, cancelled when the job is done. It would stay
    for the whole limit: at 100 jobs a second and a limit of 990 s in 50 MB.
    """
    # In place, because the loop holds this very list.
    waiting = timer._queue  # noqa: SLF001 - kombu has no other way in
    waiting[:] = [event for event in waiting if not event.entry.canceled]
    heapq.heapify(waiting)
