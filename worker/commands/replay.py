"""``uploadmill replay``: run again what ended badly."""

from __future__ import annotations

import json
from collections.abc import Sequence
from contextlib import closing

import click

from uploadmill.errors import UploadmillError
from uploadmill.producer import Uploads
from uploadmill.worker.commands.failed import listed, none_failed
from uploadmill.worker.commands.show import error_data


@click.command()
@click.argument("jobs", metavar="JOB...", nargs=-1)
@click.option("--all", "all_", is_flag=True, help="All failed jobs.")
@click.option("--code", help="With --all: only those that failed with this error code.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object a line, one for each job.")
def replay(jobs: Sequence[str], code: str | None, *, all_: bool, as_json: bool) -> None:
    """Run jobs that ended badly again, with the bytes kept.

    Each becomes a new job; how the old one ended stays as it is. A job that is being replayed,
    or was replayed with success, is not run once more: its replay is named again. The exit status
    is 1 if a job cannot be replayed.
    """
    if all_ == bool(jobs):
        raise click.UsageError("name jobs, or say --all")
    if code and not all_:
        raise click.UsageError("--code needs --all")
    with closing(Uploads()) as uploads:
        wanted = [job.job_id for job in listed(code)] if all_ else jobs
        done = [_replay(uploads, job_id, as_json=as_json) for job_id in wanted]
    if not done and not as_json:
        click.echo(none_failed(code))
    if not all(done):
        raise SystemExit(1)


def _replay(uploads: Uploads, job_id: str, *, as_json: bool) -> bool:
    """Replay one job and say what came of it; one that cannot be does not stop the others."""
    new, error = None, None
    try:
        new = uploads.replay(job_id)
    except UploadmillError as refusal:
        error = error_data(refusal)
    if as_json:
        facts = {"job_id": job_id, "replay": new and new.id, "state": new and new.state}
        click.echo(json.dumps({**facts, "error": error and error.model_dump(mode="json")}))
    else:
        said = f"replayed as {new.id}" if new else f"{error.code}: {error.message}" if error else ""
        click.echo(f"{job_id}: {said}")
    return error is None
