"""Children made by fork, and how they ended."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable


def fork(work: Callable[[], object]) -> int:
    """Run *work* in a forked child, which exits 0 when it returns True."""
    child = os.fork()
    if child:
        return child
    try:
        os._exit(0 if work() else 1)
    finally:
        os._exit(2)


def exit_code_within(child: int, seconds: float) -> int | None:
    """The exit code of a child; None, and it is killed, where it has not ended by then."""
    give_up = time.monotonic() + seconds
    while time.monotonic() < give_up:
        done, status = os.waitpid(child, os.WNOHANG)
        if done:
            return os.waitstatus_to_exitcode(status)
        time.sleep(0.02)
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    return None
