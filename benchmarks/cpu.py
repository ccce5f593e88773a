"""CPU time and memory of a process and all its descendants, from Linux' ``/proc``."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

PROC = Path("/proc")

#: What ``clear_refs`` takes to forget a process's highest memory use.
RESET_PEAK = "5"


def tree(pid: int) -> list[int]:
    """The process and its descendants, itself first; without those that have ended."""
    parents = {}
    for entry in PROC.iterdir():
        if entry.name.isdigit():
            with suppress(OSError):
                # The name in brackets may hold anything; after it come state and parent.
                state, above = (entry / "stat").read_text().rpartition(")")[2].split()[:2]
                if state != "Z":
                    parents[int(entry.name)] = int(above)
    found = [pid]
    for parent in found:
        found += [child for child, its_parent in parents.items() if its_parent == parent]
    return found


def cpu_seconds(pid: int) -> float:
    """CPU time, user and system, of every thread that lives in the tree, to the nanosecond.

    Not ``utime`` and ``stime``: they count in hundredths of a second. A thread that ends takes
    its time with it, so the tree must be the same at both ends of a measurement.
    """
    spent = 0
    for process in tree(pid):
        for thread in (PROC / str(process) / "task").iterdir():
            spent += int((thread / "schedstat").read_text().split()[0])
    return spent / 1e9


def memory_mb(pid: int, field: str = "VmRSS") -> float:
    """Resident memory of one process in MB (10^6 bytes); ``VmHWM`` is the highest so far."""
    for line in (PROC / str(pid) / "status").read_text().splitlines():
        if line.startswith(field + ":"):
            return int(line.split()[1]) * 1024 / 1e6
    raise LookupError(f"the kernel tells no {field} of process {pid}")


def reset_peak(pid: int) -> None:
    """Let ``VmHWM`` begin anew."""
    (PROC / str(pid) / "clear_refs").write_text(RESET_PEAK)
