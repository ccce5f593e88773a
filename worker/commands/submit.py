"""``uploadmill submit``: enqueue files, and wait for what comes of them if told."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import click

from uploadmill.errors import JobNotEnded, UploadmillError
from uploadmill.job import ErrorData, JobResult, JobState
from uploadmill.producer import Uploads
from uploadmill.worker.commands.show import describe, error_data, table


@dataclass(frozen=True, slots=True)
class Submitted:
    """What came of one path.

    Attributes:
        path: As it was given.
        job_id: None where nothing was accepted.
        state: Of the job when last seen; None where nothing was accepted.
        error: Why it was not accepted, or not waited for to the end.
        result: Once the job has ended.
    """

    path: str
    job_id: str | None = None
    state: str | None = None
    error: ErrorData | None = None
    result: JobResult | None = None

    def document(self) -> dict[str, Any]:
        """The object that ``--json`` prints: every field of the result where there is one."""
        if self.result is not None:
            return {"path": self.path, **self.result.model_dump(mode="json")}
        error = self.error.model_dump(mode="json") if self.error else None
        return {"path": self.path, "job_id": self.job_id, "state": self.state, "error": error}


class Counted:
    """A binary file that says how far it has been read.

    Args:
        file: Seekable.
        moved: Called with the number of bytes of each read.
    """

    def __init__(self, file: BinaryIO, moved: Callable[[int], None]) -> None:
        self._file = file
        self._moved = moved
        self.seek, self.tell, self.seekable = file.seek, file.tell, file.seekable

    def read(self, size: int = -1) -> bytes:
        """Read from the file."""
        data = self._file.read(size)
        self._moved(len(data))
        return data


@click.command()
@click.argument("paths", nargs=-1, required=True, metavar="PATH...")
@click.option("--pipeline", default="photo", show_default=True, help="What is done with them.")
@click.option("--wait", is_flag=True, help="Wait until the jobs have ended.")
@click.option(
    "--timeout", type=float, default=600.0, show_default=True, help="Seconds, with --wait."
)
@click.option("--json", "as_json", is_flag=True, help="One JSON object a line, one per file.")
def submit(
    paths: Sequence[str], pipeline: str, *, wait: bool, timeout: float, as_json: bool
) -> None:
    """Enqueue files; with --wait, show what came of each.

    The exit status is 1 if a file was not accepted or, with --wait, did not end as stored.
    """
    bars = not as_json and on_terminal()
    with closing(Uploads()) as uploads:
        uploads.settings.steps_of(pipeline)
        submitted = list(_enqueue_all(uploads, paths, pipeline, bars=bars))
        if wait:
            done = list(_shown(_wait_all(uploads, submitted, timeout, bars=bars), as_json=as_json))
        else:
            done = list(_shown(submitted, as_json=as_json))
    if not as_json:
        click.echo("\n".join(table([_row(item) for item in done])))
    good = (JobState.STORED,) if wait else tuple(JobState)
    if any(item.error or item.state not in good for item in done):
        raise SystemExit(1)


def on_terminal() -> bool:
    """Whether somebody sees progress bars."""
    return sys.stderr.isatty()


def _enqueue_all(
    uploads: Uploads, paths: Sequence[str], pipeline: str, *, bars: bool
) -> Iterator[Submitted]:
    """Enqueue every path in turn; a bad one does not stop the others."""
    total = sum(_size(Path(path)) for path in paths)
    with click.progressbar(
        length=total, label="Staging", file=sys.stderr, hidden=not bars
    ) as progress:
        for path in paths:
            yield _enqueue(uploads, path, pipeline, progress.update)


def _enqueue(uploads: Uploads, path: str, pipeline: str, moved: Callable[[int], None]) -> Submitted:
    try:
        with Path(path).open("rb") as file:
            source = Counted(file, moved)
            job = uploads.enqueue(source, pipeline=pipeline, filename=Path(path).name)
    except (UploadmillError, OSError) as error:
        return Submitted(path, getattr(error, "job_id", None), error=error_data(error))
    return Submitted(path, job.id, job.state)


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError:
        return 0


def _wait_all(
    uploads: Uploads, submitted: Sequence[Submitted], timeout: float, *, bars: bool
) -> Iterator[Submitted]:
    """Each job as it ended, in the order given, *timeout* seconds for all of them."""
    end = time.monotonic() + timeout
    with click.progressbar(
        submitted, label="Working", file=sys.stderr, hidden=not bars
    ) as progress:
        for item in progress:
            yield item if item.error else _wait(uploads, item, max(0.0, end - time.monotonic()))


def _wait(uploads: Uploads, item: Submitted, timeout: float) -> Submitted:
    try:
        result = uploads.wait(str(item.job_id), timeout)
    except UploadmillError as error:
        state = error.state if isinstance(error, JobNotEnded) else item.state
        return Submitted(item.path, item.job_id, state, error_data(error))
    return Submitted(item.path, item.job_id, result.state, result=result)


def _shown(items: Iterable[Submitted], *, as_json: bool) -> Iterator[Submitted]:
    """Pass *items* on, each printed as soon as it is known."""
    for item in items:
        if as_json:
            click.echo(json.dumps(item.document()))
        elif item.result:
            click.echo("\n".join(describe(item.result)) + "\n")
        yield item


def _row(item: Submitted) -> tuple[str, ...]:
    why = f"{item.error.code}: {item.error.message}" if item.error else ""
    return item.path, item.state or "not accepted", item.job_id or "", why
