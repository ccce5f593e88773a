"""What a web app pays: the import, and one enqueue."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from statistics import median

from benchmarks.report import Figure
from uploadmill import Uploads
from uploadmill.worker.embedded.environment import embedded_environment

IMPORT_AIM = 0.40

IMPORT = """
import time
began = time.process_time()
from uploadmill import Uploads
print(time.process_time() - began)
"""

#: Bytes of the upload that is enqueued.
SIZE = 100_000


def measure(folder: Path, runs: int, jobs: int) -> Iterator[Figure]:
    """CPU of ``from uploadmill import Uploads`` in a new process, and of an enqueue."""
    imports = [_import() for _ in range(runs)]
    detail = f"CPU seconds, {min(imports):.2f} to {max(imports):.2f} in {runs} processes"
    yield Figure("producer_import_cpu_s", median(imports), IMPORT_AIM, detail)
    with (
        embedded_environment(folder, scan=False) as environment,
        closing(Uploads(environment.settings)) as uploads,
    ):
        spent = [_enqueue(uploads) for _ in range(jobs + 1)][1:]
    cpu = [cpu for cpu, _ in spent]
    wall = median(wall for _, wall in spent)
    detail = f"CPU for {SIZE // 1000} kB into a local store; {wall:.1f} ms by the clock"
    yield Figure("producer_enqueue_ms", median(cpu), None, detail)


def _import() -> float:
    command = [sys.executable, "-c", IMPORT]
    return float(subprocess.run(command, check=True, capture_output=True).stdout)


def _enqueue(uploads: Uploads) -> tuple[float, float]:
    """Milliseconds of CPU and of the clock."""
    cpu, wall = time.process_time(), time.perf_counter()
    uploads.enqueue(bytes(SIZE), pipeline="document")
    return (time.process_time() - cpu) * 1000, (time.perf_counter() - wall) * 1000
