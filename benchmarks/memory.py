"""What a worker's child needs over what it has when idle."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

from benchmarks.cpu import memory_mb, reset_peak
from benchmarks.pictures import draw
from benchmarks.report import Figure
from benchmarks.workers import measured_worker
from uploadmill import Uploads
from uploadmill.job import JobState
from uploadmill.worker.embedded.environment import Environment, embedded_environment

PHOTO_AIM = 50.0
DOCUMENT_AIM = 24.0

#: Of the photograph: 24 MP.
SIZE = (6000, 4000)

#: Of the document, in bytes.
DOCUMENT = 500_000_000

LINE = b"The quick brown fox jumps over the lazy dog, and nobody knows why it does not go round.\n"

#: Seconds a job may take.
LIMIT = 180.0


def measure(folder: Path, *, document: bool) -> Iterator[Figure]:
    """The highest resident memory of a job after a small one of its kind, each in a new worker."""
    with embedded_environment(folder, scan=True, system_signatures=False) as environment:
        photo = draw(folder / "photo.jpg", *SIZE)
        small = draw(folder / "small.jpg", 640, 480)
        name = "child_memory_24mp_mb"
        yield _measure(environment, name, PHOTO_AIM, "photo", small=small, large=photo)
        if document:
            text, few = _text(folder / "long.txt", DOCUMENT), _text(folder / "few.txt", 10_000)
            name = "child_memory_500mb_document_mb"
            yield _measure(environment, name, DOCUMENT_AIM, "document", small=few, large=text)


def _measure(
    environment: Environment, name: str, aim: float, pipeline: str, *, small: Path, large: Path
) -> Figure:
    with (
        closing(Uploads(environment.settings)) as uploads,
        measured_worker(environment, events=True) as worker,
    ):
        child = worker.child
        new = memory_mb(child)
        _run(uploads, small, pipeline)
        idle = memory_mb(child)
        reset_peak(child)
        _run(uploads, large, pipeline)
        peak = memory_mb(child, "VmHWM")
        assert child == worker.child
    detail = f"peak {peak:.1f}, idle after a small job {idle:.1f}, new {new:.1f} MB"
    return Figure(name, peak - idle, aim, detail)


def _run(uploads: Uploads, source: Path, pipeline: str) -> None:
    job = uploads.enqueue(source, pipeline=pipeline)
    assert uploads.wait(job.id, timeout=LIMIT).state is JobState.STORED


def _text(path: Path, size: int) -> Path:
    with path.open("wb") as file:
        block = LINE * 10_000
        while file.tell() < size:
            file.write(block[: size - file.tell()])
    return path
