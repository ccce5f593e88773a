"""What each child is working on, where the main process can read it after the child has died.

A table in shared memory, made before the fork: a slot for each place in the pool, a line of text
in each. Writing costs a microsecond, so that every step can be noted.
"""

from __future__ import annotations

import mmap
import os
import resource
import sys
from dataclasses import dataclass

from billiard.process import current_process

#: Children that can be told apart; more than a machine has room for.
SLOTS = 1024

#: Bytes of a slot: a process id, a job id, a token, the longest name of a step, and a number.
SLOT = 256

#: The last byte of a slot whose child is about to be killed; a line ends with another.
CONDEMNED = b"!"

#: ``ru_maxrss`` is in bytes on macOS, elsewhere in kilobytes.
MAXRSS_UNIT = 1 if sys.platform == "darwin" else 1024


@dataclass(frozen=True, slots=True)
class Running:
    """What a child last said.

    Attributes:
        pid: The child.
        job_id: The job it holds.
        token: Its lease.
        step: The step it runs.
        memory: Bytes, the most it had used when that step began.
    """

    pid: int
    job_id: str
    token: str
    step: str
    memory: int


class RunningTable:
    """A slot per child, written by the child, read by the main process."""

    def __init__(self) -> None:
        # Only pages that are written to take memory.
        self._memory = mmap.mmap(-1, SLOTS * SLOT)

    def note(self, job_id: str, token: str, step: str) -> None:
        """This process holds *job_id* under *token* and stands before *step*."""
        line = f"{os.getpid()} {job_id} {token} {step} {peak_memory()}\n".encode()
        self._write(line.ljust(SLOT, b"\0"))

    def clear(self) -> None:
        """This process holds no job."""
        self._write(b"\0")

    def of(self, pid: int) -> Running | None:
        """What the child *pid* was working on; None where it held no job."""
        at = self._slot_of(pid)
        return None if at is None else _read(self._memory[at : at + SLOT])

    def condemn(self, pid: int) -> None:
        """The child *pid* is about to be killed and reported: it must not give its job back."""
        at = self._slot_of(pid)
        if at is not None:
            self._memory[at + SLOT - 1 : at + SLOT] = CONDEMNED

    @property
    def condemned(self) -> bool:
        """Whether this process is."""
        at = self._slot_of(os.getpid())
        return at is not None and self._memory[at + SLOT - 1 : at + SLOT] == CONDEMNED

    def jobs(self) -> set[str]:
        """The jobs that are held."""
        slots = (self._memory[at : at + SLOT] for at in range(0, SLOTS * SLOT, SLOT))
        return {found.job_id for slot in slots if slot[0] and (found := _read(slot))}

    def _slot_of(self, pid: int) -> int | None:
        """Where the line of the child *pid* begins."""
        start = f"{pid} ".encode()
        for at in range(0, SLOTS * SLOT, SLOT):
            if self._memory[at : at + len(start)] == start:
                return at
        return None

    def _write(self, line: bytes) -> None:
        # billiard numbers the children it has, and a new one takes a dead one's number.
        slot = getattr(current_process(), "index", 0)
        if slot < SLOTS and len(line) <= SLOT:
            self._memory[slot * SLOT : slot * SLOT + len(line)] = line


def peak_memory(who: int = resource.RUSAGE_SELF) -> int:
    """The most memory that a process, or any child that was waited for, ever had, in bytes."""
    return resource.getrusage(who).ru_maxrss * MAXRSS_UNIT


def _read(slot: bytes) -> Running | None:
    """A slot's line; None where it is not whole: its writer died in writing."""
    words = slot.split(b"\n", 1)[0].decode(errors="replace").split(" ")
    try:
        pid, job_id, token, step, memory = words
        return Running(int(pid), job_id, token, step, int(memory))
    except ValueError:
        return None


#: The children of this worker.
RUNNING = RunningTable()
