"""The worker's application, with a fault inside a step's function.

Every step's function notes in the file ``marks`` of ``FAULT_FOLDER`` that it has begun, when, and
for which job. Where the file ``armed`` there names this step, its first line is used up and what it
says happens:

* ``kill_worker STEP``  SIGKILL to the whole worker
* ``kill_child STEP``   SIGKILL to the process that runs the step
* ``devour STEP``       the same, when it has taken 300 MB of memory
* ``sleep STEP``        sleep until the process is ended
* ``hold STEP``         sleep until the file ``open`` is there

That is where the step's function is entered; ``amid STEP`` instead is in the midst of its work, at
the function that ``MIDDLES`` names. The step ``process`` is the message itself, before its job is
claimed; it notes nothing.

When the worker is told to stop, it makes the file ``stopping-PID`` once its children can see that.
"""

from __future__ import annotations

import fcntl
import os
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from celery.signals import task_prerun, worker_shutting_down

from uploadmill.backends.scanner import clamd
from uploadmill.backends.storage import placing
from uploadmill.tasks import commit, extract_metadata, optimize, pin, resize, scan, validate
from uploadmill.wire import PROCESS_TASK
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

#: A step is half done when this first returns: the rest of it comes after.
MIDDLES = {
    "pin": (pin, "_copy"),  # the bytes are in the workspace; are they those that were enqueued?
    "validate": (validate, "media_type"),  # its type is known; is it whole?
    "scan": (clamd, "judge"),  # clamd has answered; there is no certificate
    "extract_metadata": (extract_metadata, "_describe_picture"),
    "resize": (resize, "_write"),  # one picture of several
    "optimize": (optimize, "optimize"),  # the same
    "commit": (placing._Placing, "_put"),  # the same, in primary
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
        kind, at = first.split(maxsplit=1)
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
    # Also where the worker was killed: this process is about to be, and must do nothing more.
    while kind != "hold" or not (FOLDER / "open").exists():
        time.sleep(0.02)


def with_fault(step: str, function: Callable[..., Any]) -> Callable[..., Any]:
    def faulty(*args: Any, **kwargs: Any) -> Any:
        note(f"{step} {time.time()} {app.mill.current.record.job.id}")
        if kind := armed(step):
            strike(kind)
        return function(*args, **kwargs)

    return faulty


def with_fault_amid(step: str, function: Callable[..., Any]) -> Callable[..., Any]:
    def faulty(*args: Any, **kwargs: Any) -> Any:
        returned = function(*args, **kwargs)
        if kind := armed(f"amid {step}"):
            strike(kind)
        return returned

    return faulty


@task_prerun.connect(weak=False)
def taken(task: Any, **_: Any) -> None:
    if task.name == PROCESS_TASK and (kind := armed("process")):
        strike(kind)


@worker_shutting_down.connect(weak=False)  # after the product's own receiver
def stopping(**_: Any) -> None:
    (FOLDER / f"stopping-{os.getpid()}").touch()


for step, (module, name) in FUNCTIONS.items():
    setattr(module, name, with_fault(step, getattr(module, name)))

for step, (place, name) in MIDDLES.items():
    setattr(place, name, with_fault_amid(step, getattr(place, name)))
