"""Servers that stand still."""

from __future__ import annotations

import os
import signal


def freeze(child: int) -> None:
    """Stop a process that we have started, and wait until the last of its threads stands still.

    They go on for a moment after the signal, and might answer a request that was sent after it.
    """
    os.kill(child, signal.SIGSTOP)
    os.waitid(os.P_PID, child, os.WSTOPPED | os.WEXITED | os.WNOWAIT)
