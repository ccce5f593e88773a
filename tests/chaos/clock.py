"""A clock that is wrong: libfaketime where it is installed, else Python's own are patched."""

from __future__ import annotations

import ctypes
import gc
import time
from datetime import datetime, timedelta
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
    """Shift whatever Python code asks for the time of day; clocks that nobody sets stay right."""
    now, now_ns = time.time, time.time_ns
    time.time = lambda: now() + seconds
    time.time_ns = lambda: now_ns() + seconds * 1_000_000_000
    _shift_datetime(timedelta(seconds=seconds))


def _shift_datetime(by: timedelta) -> None:
    """A type in C takes no new attributes, and every module has its own name for it by now."""
    now, utcnow = datetime.now, datetime.utcnow
    (attributes,) = gc.get_referents(datetime.__dict__)
    attributes["now"] = staticmethod(lambda tz=None: now(tz) + by)
    attributes["utcnow"] = staticmethod(lambda: utcnow() + by)
    ctypes.pythonapi.PyType_Modified(ctypes.py_object(datetime))
