"""Tie a program to the process that started it: ``python tether.py PARENT PROGRAM ARGUMENT…``.

On Linux the kernel kills the program when its parent ends, however it ends; elsewhere the
program is simply run. It runs as a script of its own, because the alternative, ``preexec_fn``,
runs Python between fork and exec, which may hang in a process that has threads.
"""

from __future__ import annotations

import ctypes
import os
import signal
import sys

#: From linux/prctl.h: the signal a process gets when the thread that forked it ends.
PR_SET_PDEATHSIG = 1


def main(parent: int, command: list[str]) -> None:
    """Become *command*, ended with *parent*."""
    if sys.platform == "linux":
        # SIGKILL, because a stopped server must go too. The setting survives exec.
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != parent:
            sys.exit("the parent ended first")
    os.execv(command[0], command)  # noqa: S606 (argument list of our own, no shell wanted)


if __name__ == "__main__":
    main(int(sys.argv[1]), sys.argv[2:])
