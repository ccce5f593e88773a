"""What the harness knows: which jobs were accepted, what was broken, what was seen."""

from __future__ import annotations

import threading
import time
from collections import defaultdict
from dataclasses import dataclass, field
from pathlib import Path

from chaos.corpus import Upload


@dataclass
class Entry:
    """A job, known from the moment its id is.

    Attributes:
        staged: The key of its staged bytes.
        accepted: When ``enqueue`` returned, by the monotonic clock; None: it did not.
        ended: When its outcome was first seen.
        outlasting: For a job so old that it is collected, the only objects that stay of it, each
            as ``STORE/KEY``; None for all others.
    """

    id: str
    upload: Upload
    staged: str = ""
    accepted: float | None = None
    ended: float | None = None
    outlasting: frozenset[str] | None = None


@dataclass
class Book:
    """Kept by several threads; everything is added, nothing taken away.

    Attributes:
        lost: Accepted jobs without an end, each with what was found instead.
        doubled: Jobs that ended more than once, and how.
        measured: What a scenario has measured, by name.
        wrong: Everything else that should not be, by job id or place.
    """

    path: Path
    entries: dict[str, Entry] = field(default_factory=dict)
    lost: dict[str, str] = field(default_factory=dict)
    doubled: dict[str, str] = field(default_factory=dict)
    wrong: dict[str, str] = field(default_factory=dict)
    measured: dict[str, float] = field(default_factory=dict)
    faults: dict[str, int] = field(default_factory=lambda: defaultdict(int))
    _lock: threading.Lock = field(default_factory=threading.Lock)
    _began: float = field(default_factory=time.monotonic)

    def fault(self, kind: str, what: str = "") -> None:
        """Something was broken on purpose."""
        with self._lock:
            self.faults[kind] += 1
        self.note(f"{kind} {what}")

    def note(self, text: str) -> None:
        """A line in the list of faults."""
        with self._lock, self.path.open("a") as file:
            file.write(f"{time.monotonic() - self._began:8.2f} {text}\n")

    def longest(self, name: str, began: float) -> float:
        """Measure the time since *began*; the longest such time is kept."""
        took = time.monotonic() - began
        self.measured[name] = max(took, self.measured.get(name, 0.0))
        return took

    def first(self, kind: dict[str, str], where: str, what: str) -> None:
        """Add a violation, once."""
        if where not in kind:
            kind[where] = what
            self.note(f"VIOLATION {where}: {what}")

    @property
    def accepted(self) -> list[Entry]:
        return [entry for entry in list(self.entries.values()) if entry.accepted is not None]

    @property
    def worst_delay(self) -> float:
        """Seconds from acceptance to the end of the job that took longest."""
        delays = [e.ended - e.accepted for e in self.accepted if e.ended and e.accepted]
        return max(delays, default=0.0)
