"""``uploadmill status``: how a job stands, and what came of it."""

from __future__ import annotations

import json
from contextlib import closing

import click

from uploadmill.producer import Uploads
from uploadmill.worker.commands.show import describe


@click.command()
@click.argument("job")
@click.option("--json", "as_json", is_flag=True, help="One JSON object.")
def status(job: str, *, as_json: bool) -> None:
    """Show how the job JOB stands, and its result once it has ended."""
    with closing(Uploads()) as uploads:
        found = uploads.status(job)
    if found.result is not None:
        document = found.result.model_dump(mode="json")
        lines = list(describe(found.result))
    else:
        document = {"job_id": found.job_id, "state": found.state, "step": found.step}
        lines = [f"{found.job_id}: {found.state}" + (f", at {found.step}" if found.step else "")]
    click.echo(json.dumps(document) if as_json else "\n".join(lines))
