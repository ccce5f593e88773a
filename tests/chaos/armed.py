"""Faults for single jobs at named points: what a test orders, and what a process then does.

A test arms a job with lines of ``point action`` in a file named by the job's id; the first line
is used up by the first process that comes to its point, then the next line counts. So each fault
strikes once, and two faults of one job come in their order.
"""

from __future__ import annotations

import os
import signal
import subprocess
import threading
import time
from collections import Counter
from contextlib import suppress
from pathlib import Path
from typing import Any

from uploadmill.worker.shared import STOPPING

#: What of three a process has come to.
ORDINALS = ("first", "second", "last")

#: Seconds in which a worker that is to be told to stop is told so on any machine.
NEVER_TOLD = 120.0


class Armed:
    """The faults of all jobs, in a folder that every process sees."""

    def __init__(self, folder: Path, stop_for: float) -> None:
        self.folder = folder
        self.stop_for = stop_for
        self._lock = threading.Lock()
        self._met: Counter[tuple[str, str]] = Counter()

    @property
    def options(self) -> dict[str, Any]:
        """For a process that is to be struck."""
        return {"folder": str(self.folder), "stop_for": self.stop_for}

    def arm(self, job_id: str, *faults: str) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        (self.folder / job_id).write_text("\n".join(faults))

    def disarm(self, job_id: str) -> bool:
        """Take a job's faults away; False where they have all struck."""
        try:
            (self.folder / job_id).unlink()
        except FileNotFoundError:
            return False
        return True

    @property
    def left(self) -> dict[str, str]:
        """The faults that have not struck, by job."""
        found = {}
        for path in self.folder.glob("*-*"):
            with suppress(FileNotFoundError):  # it strikes at this very moment
                found[path.name] = path.read_text()
        return found

    @property
    def struck(self) -> list[str]:
        """Job, process, point and action of each fault that has."""
        path = self.folder / "struck"
        return path.read_text().splitlines() if path.exists() else []

    def struck_in(self, job_id: str) -> int | None:
        """The process in which the job's latest fault has struck."""
        found = [line.split()[1] for line in self.struck if line.startswith(job_id)]
        return int(found[-1]) if found else None

    def at(self, job_id: str, point: str) -> str | None:
        """What is to happen to this job here; used up by asking."""
        path, mine = self.folder / job_id, self.folder / f"mine.{os.getpid()}"
        with self._lock:
            try:
                if not path.read_text().startswith(point + " "):
                    return None
                path.rename(mine)
            except FileNotFoundError:
                return None
            first, _, rest = mine.read_text().partition("\n")
            if rest:
                path.write_text(rest)
            mine.unlink()
            with (self.folder / "struck").open("a") as file:
                file.write(f"{job_id} {os.getpid()} {first}\n")
            return first.split(" ", 1)[1]

    def which(self, job_id: str, what: str) -> str:
        """Which of the job's three *what* this is, by how often this process has asked."""
        with self._lock:
            self._met[job_id, what] += 1
            return ORDINALS[min(self._met[job_id, what], len(ORDINALS)) - 1]

    def strike(self, job_id: str, point: str) -> None:
        """Do what is armed for this job here."""
        while action := self.at(job_id, point):
            self._do(action)

    def _do(self, action: str) -> None:
        if action == "kill_child":
            os.kill(os.getpid(), signal.SIGKILL)
        elif action == "kill_group":
            os.killpg(os.getpgid(0), signal.SIGKILL)
        elif action == "hang":
            time.sleep(3600)
        elif action == "until_told":
            _wait_until_told()
        elif action == "stop":
            _stand_still(self.stop_for)
        elif action.startswith("swap "):
            _swap(Path(action.removeprefix("swap ")))
        elif action.startswith("lose "):
            lose(Path(action.removeprefix("lose ")))


def _wait_until_told() -> None:
    """Go on when this worker has been told to stop, or is never told."""
    end = time.monotonic() + NEVER_TOLD
    while not STOPPING and time.monotonic() < end:
        time.sleep(0.02)


def _stand_still(seconds: float) -> None:
    """Stop this process; somebody of another group lets it go on."""
    wake = f"sleep {seconds:g}; kill -CONT {os.getpid()}"
    subprocess.Popen(["/bin/sh", "-c", wake], start_new_session=True)
    os.kill(os.getpid(), signal.SIGSTOP)


def lose(root: Path) -> None:
    """Where a store's folder was lies a file: an outage, until the folder is back."""
    root.rename(root.with_suffix(".away"))
    root.touch()


def _swap(order: Path) -> None:
    """A client overwrites its staged bytes: *order* names the object, and has the new bytes."""
    target, _, content = order.read_bytes().partition(b"\n")
    fresh = order.with_suffix(".fresh")
    fresh.write_bytes(content)
    fresh.replace(Path(target.decode()))
