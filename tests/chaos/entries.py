"""Notes of every entry into a step's function, to count what must not run again."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Collection
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from uploadmill.backends.ledger.ledger import Ledger


@dataclass(frozen=True)
class Entered:
    """A step's function began.

    Attributes:
        asked: When the ledger was asked for leave to run it, by the machine's monotonic clock: who
            asked before Redis was emptied may still begin a moment after it.
    """

    job_id: str
    step: str
    asked: float


def put_in(path: str) -> None:
    """Let this process and its children note what they enter in the file *path*."""
    # Importing the steps imports every decoder, which takes until a worker is started.
    from uploadmill.tasks import commit, optimize, pin, resize, scan, validate  # noqa: PLC0415
    from uploadmill.worker.celery_app import app  # noqa: PLC0415

    asked: dict[str, float] = {}

    def asking(original: Callable[..., Any]) -> Callable[..., Any]:
        def wrapped(ledger: Ledger, job_id: str, *args: Any, **options: Any) -> Any:
            asked[job_id] = time.monotonic()
            return original(ledger, job_id, *args, **options)

        return wrapped

    def noting(step: str, function: Callable[..., Any]) -> Callable[..., Any]:
        def wrapped(*args: Any, **options: Any) -> Any:
            job_id = app.mill.current.record.job.id
            _append(path, f"{job_id} {step} {asked[job_id]}\n")
            return function(*args, **options)

        return wrapped

    Ledger.claim = asking(Ledger.claim)  # type: ignore[method-assign]
    Ledger.complete = asking(Ledger.complete)  # type: ignore[method-assign]
    for module in (pin, validate, scan, resize, optimize, commit):
        step = module.__name__.rpartition(".")[2]
        setattr(module, step, noting(step, getattr(module, step)))


def _append(path: str, line: str) -> None:
    """One write, so that the lines of several processes do not mix."""
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    os.write(descriptor, line.encode())
    os.close(descriptor)


def noted(path: Path) -> list[Entered]:
    """All notes so far."""
    lines = path.read_text().splitlines() if path.exists() else []
    words = (line.split() for line in lines)
    return [Entered(job_id, step, float(asked)) for job_id, step, asked in words]


def run_again(
    entered: Collection[Entered], ended: Collection[str], since: float
) -> dict[str, list[str]]:
    """The steps begun after *since* of jobs that had *ended* by then."""
    again: dict[str, list[str]] = {}
    for each in entered:
        if each.job_id in ended and each.asked > since:
            again.setdefault(each.job_id, []).append(each.step)
    return again
