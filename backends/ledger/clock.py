"""The clock by which a process judges its own delays."""

from __future__ import annotations

import time

#: Counts while the machine sleeps, which ``time.monotonic`` does not on Linux. macOS has no clock
#: of this name; there CLOCK_MONOTONIC counts on in sleep.
_CLOCK = getattr(time, "CLOCK_BOOTTIME", None) or getattr(time, "CLOCK_MONOTONIC", None)


def boot_time() -> float:
    """Seconds since some moment in the past, the time asleep included."""
    return time.monotonic() if _CLOCK is None else time.clock_gettime(_CLOCK)
