"""The worker's application, with a fault inside a step's function.

Every step's function notes in the file ``marks`` of ``FAULT_FOLDER`` that it has begun. Where the
file ``armed`` there names this step, its first line is used up and what it says happens:

* ``kill_worker STEP``  SIGKILL to the whole worker
* ``kill_child STEP``   SIGKILL to the process that runs the step
* ``devour STEP``       the same, when it has taken 300 MB of memory
* ``sleep STEP``        a minute of sleep
* ``pause STEP``        a second of sleep
* ``hold STEP``         sleep until the file ``open`` is there, a minute at most
"""

from __future__ import annotations

import fcntl
import os
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from uploadmill.tasks import commit, extract_metadata, optimize, pin, resize, scan, validate
from uploadmill.worker.celery_app import app

__all__ = ["app"]

FOLDER = Path(os.environ["FAULT_FOLDER"])

MEALS: list[bytes] = []

FUNCTIONS = {
    "pin": (pin, "pin"),
    "validate": (validate, "validate"),
    "scan": (scan, "scan"),
    "extract_metadata": (extract_metadata, "extract_metadata"),
    "resize": (resize, "resize"),
    "optimize": (optimize, "optimize"),
    "commit": (commit, "commit"),
}


def note(line: str) -> None:
    with (FOLDER / "marks").open("a") as file:
        file.write(f"{line}\n")
        file.flush()
        os.fsync(file.fileno())


def armed(step: str) -> str | None:
    """The fault armed for *step*, used up by asking."""
    path = FOLDER / "armed"
    with (FOLDER / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # several processes ask at once
        if not path.exists():
            return None
        first, *rest = path.read_text().splitlines()
        kind, at = first.split()
        if at != step:
            return None
        if rest:
            path.write_text("\n".join(rest))
        else:
            path.unlink()
    return kind


def strike(kind: str) -> None:
    if kind == "kill_worker":
        os.kill(os.getppid(), signal.SIGKILL)
    if kind == "devour":
        MEALS.append(b"x" * 300_000_000)
    if kind in ("kill_child", "devour"):
        os.kill(os.getpid(), signal.SIGKILL)
    limit = time.monotonic() + (1 if kind == "pause" else 60)
    while time.monotonic() < limit and not (kind == "hold" and (FOLDER / "open").exists()):
        time.sleep(0.02)


def with_fault(step: str, function: Callable[..., Any]) -> Callable[..., Any]:
    def faulty(*args: Any, **kwargs: Any) -> Any:
        note(f"begin {step}")
        if kind := armed(step):
            strike(kind)
        return function(*args, **kwargs)

    return faulty


for step, (module, name) in FUNCTIONS.items():
    setattr(module, name, with_fault(step, getattr(module, name)))
