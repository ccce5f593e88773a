"""A clock that is wrong: libfaketime where it is installed, else a patched ``time``."""

from __future__ import annotations

import time
from pathlib import Path

LIBRARIES = sorted(Path("/usr/lib").glob("*/faketime/libfaketime.so.1"))


def shifted(seconds: int) -> tuple[dict[str, str], dict[str, int]]:
    """Variables and faults with which a worker's clock is *seconds* off."""
    if not LIBRARIES:
        return {}, {"clock": seconds}
    # Only the time of day is wrong; clocks that nobody sets stay right, as in life.
    return {
        "LD_PRELOAD": str(LIBRARIES[0]),
        "FAKETIME": f"{seconds:+d}",
        "FAKETIME_DONT_FAKE_MONOTONIC": "1",
        "DONT_FAKE_MONOTONIC": "1",
    }, {}


def put_in(seconds: int) -> None:
    """Shift what Python code asks for the time; ``datetime`` stays right."""
    now, now_ns = time.time, time.time_ns
    time.time = lambda: now() + seconds
    time.time_ns = lambda: now_ns() + seconds * 1_000_000_000
