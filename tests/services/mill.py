"""An environment as acceptance tests use it: a producer, workers, and a look into the stores."""

from __future__ import annotations

import os
import signal
from collections import Counter
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path

from services.waiting import PATIENCE, eventually
from uploadmill import Uploads
from uploadmill.job import JobResult
from uploadmill.worker.embedded.environment import Environment, Worker

TESTS = Path(__file__).parents[1]

#: Short times, so that a killed worker's job goes on within seconds.
QUICK = {
    "UPLOADMILL_LEDGER__LEASE": "2",
    "UPLOADMILL_LEDGER__PUBLISH_GRACE": "1",
    "UPLOADMILL_LEDGER__RETRY_DELAY": "0.5",
    "UPLOADMILL_WORKER__SWEEP": "0.5",
}

#: A lease that no machine loses, where a test counts runs and waits for no lease to run out.
STEADY = {"UPLOADMILL_LEDGER__LEASE": "600"}

#: ``photo`` in short, with one second for its resize step; and one that tests change.
PIPELINES = {
    "hasty": {"steps": ["validate", "scan", {"step": "resize", "thumb": "64x64", "time_limit": 1}]},
    "shop": {"steps": ["validate", "scan", {"step": "resize", "thumb": "64x64"}, "optimize"]},
}


@dataclass(frozen=True)
class Mark:
    """A faulty worker's note that a step's function was entered; ``when`` in seconds since 1970."""

    step: str
    when: float
    job_id: str


def named_by(*results: JobResult) -> list[str]:
    """The keys of all that jobs have stored: their outputs, and the results themselves."""
    outputs = [output.key for result in results for output in result.outputs.values()]
    return sorted([*outputs, *(f"{result.job_id}/result.json" for result in results)])


@dataclass
class Mill:
    """An environment as a test uses it: a producer, workers, and a look into the stores."""

    environment: Environment
    uploads: Uploads
    faults: Path

    def start(
        self,
        *,
        faulty: bool = False,
        concurrency: int = 1,
        extra: Mapping[str, str] | None = None,
        app: str = "services.faulty_app",
    ) -> Worker:
        """One more worker, with variables of its own; a faulty one does what the test arms."""
        if not faulty:
            return self.environment.start_worker(extra, concurrency=concurrency)
        faults = {"PYTHONPATH": str(TESTS), "FAULT_FOLDER": str(self.faults)}
        return self.environment.start_worker(
            {**faults, **(extra or {})}, concurrency=concurrency, app=app
        )

    def kill(self, workers: Iterable[Worker]) -> None:
        """End workers at once, with all that they started: a warm stop takes two seconds."""
        for worker in workers:
            with suppress(ProcessLookupError):
                os.killpg(worker.pid, signal.SIGKILL)
            worker.wait()

    def arm(self, fault: str, times: int = 1) -> None:
        """Let the next runs of a step fail: ``kill_worker resize``, ``kill_worker amid resize``."""
        self.forget()
        self._arm(fault, times)

    def hold(self, step: str, times: int = 1) -> None:
        """Let the next runs of a step wait until they are let go; what was run stays noted."""
        (self.faults / "open").unlink(missing_ok=True)
        self._arm(f"hold {step}", times)

    def _arm(self, fault: str, times: int) -> None:
        # At once, because a worker may be looking.
        fresh = self.faults / "armed.fresh"
        fresh.write_text("\n".join([fault] * times))
        fresh.replace(self.faults / "armed")

    @property
    def struck(self) -> bool:
        """Whether all that was armed has happened, or is happening."""
        return not (self.faults / "armed").exists()

    def let_go(self) -> None:
        """Let held steps go on."""
        (self.faults / "open").touch()

    def stop_in_mid_step(self, worker: Worker) -> None:
        """Tell a worker to stop while a step of its is held; return when its children know."""
        worker.tell(signal.SIGTERM)
        assert eventually((self.faults / f"stopping-{worker.pid}").exists)
        self.let_go()

    def forget(self) -> None:
        """Begin to note anew which steps are run."""
        (self.faults / "marks").unlink(missing_ok=True)

    def entered(self, step: str) -> int:
        """How often the function of a step was entered."""
        return len(self.entries(step))

    def entries(self, step: str) -> list[Mark]:
        """When the function of a step was entered, and for which job; the earliest first."""
        return sorted((each for each in self._marks if each.step == step), key=lambda e: e.when)

    def first(self, step: str) -> float:
        """When the function of a step was entered first, in seconds since 1970."""
        return self.entries(step)[0].when

    @property
    def begun(self) -> list[str]:
        """The steps that began since the notes were begun anew, one after another.

        A step that handles several outputs enters its function for each; it began once.
        """
        return [step for step, _ in groupby(mark.step for mark in self._marks)]

    def begun_of(self, job_id: str) -> list[str]:
        """The same of one job."""
        mine = (mark.step for mark in self._marks if mark.job_id == job_id)
        return [step for step, _ in groupby(mine)]

    def entered_for(self, job_id: str) -> Counter[str]:
        """How often the function of each step was entered for one job."""
        return Counter(mark.step for mark in self._marks if mark.job_id == job_id)

    @property
    def _marks(self) -> list[Mark]:
        marks = self.faults / "marks"
        lines = marks.read_text().splitlines() if marks.exists() else []
        words = (line.split() for line in lines)
        return [Mark(step, float(when), job_id) for step, when, job_id in words]

    def run(self, source: bytes | Path, pipeline: str = "photo", **options: object) -> JobResult:
        """Enqueue and wait."""
        return self.wait(self.uploads.enqueue(source, pipeline=pipeline, **options).id)

    def wait(self, job_id: str) -> JobResult:
        """How a job ends."""
        return self.uploads.wait(job_id, timeout=PATIENCE)

    def files(self, role: str) -> list[str]:
        """The keys in a local store."""
        root = self.environment.folder / role
        found = (Path(at, name) for at, _, names in os.walk(root) for name in names)
        keys = sorted(str(path.relative_to(root)) for path in found)
        return [key for key in keys if not key.startswith(".")]

    def read(self, role: str, key: str) -> bytes:
        """An object of a local store."""
        return (self.environment.folder / role / key).read_bytes()
