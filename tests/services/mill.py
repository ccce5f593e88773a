"""An environment as acceptance tests use it: a producer, workers, and a look into the stores."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path

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

#: A lease that a busy machine does not lose, where a test counts runs and kills nobody.
STEADY = {"UPLOADMILL_LEDGER__LEASE": "30"}

#: ``photo`` in short, with one second for its resize step; and one that tests change.
PIPELINES = {
    "hasty": {"steps": ["validate", "scan", {"step": "resize", "thumb": "64x64", "time_limit": 1}]},
    "shop": {"steps": ["validate", "scan", {"step": "resize", "thumb": "64x64"}, "optimize"]},
}


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

    def arm(self, fault: str, times: int = 1) -> None:
        """Let the next runs of a step fail: ``kill_worker resize``."""
        self.forget()
        (self.faults / "armed").write_text("\n".join([fault] * times))

    def let_go(self) -> None:
        """Let held steps go on."""
        (self.faults / "open").touch()

    def forget(self) -> None:
        """Begin to note anew which steps are run."""
        (self.faults / "marks").unlink(missing_ok=True)

    def entered(self, step: str) -> int:
        """How often the function of a step was entered."""
        return (self.faults / "marks").read_text().splitlines().count(f"begin {step}")

    @property
    def begun(self) -> list[str]:
        """The steps that began since the notes were begun anew, one after another.

        A step that handles several outputs enters its function for each; it began once.
        """
        marks = self.faults / "marks"
        lines = marks.read_text().splitlines() if marks.exists() else []
        return [line.removeprefix("begin ") for line, _ in groupby(lines)]

    def run(self, source: bytes | Path, pipeline: str = "photo", **options: object) -> JobResult:
        """Enqueue and wait."""
        job = self.uploads.enqueue(source, pipeline=pipeline, **options)
        return self.uploads.wait(job.id, timeout=30)

    def files(self, role: str) -> list[str]:
        """The keys in a local store."""
        root = self.environment.folder / role
        found = (Path(at, name) for at, _, names in os.walk(root) for name in names)
        keys = sorted(str(path.relative_to(root)) for path in found)
        return [key for key in keys if not key.startswith(".")]

    def read(self, role: str, key: str) -> bytes:
        """An object of a local store."""
        return (self.environment.folder / role / key).read_bytes()
