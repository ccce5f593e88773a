"""``uploadmill cancel``: end a job early."""

from __future__ import annotations

import json
from contextlib import closing

import click

from uploadmill.job import JobState
from uploadmill.producer import Uploads


@click.command()
@click.argument("job")
@click.option("--json", "as_json", is_flag=True, help="One JSON object.")
def cancel(job: str, *, as_json: bool) -> None:
    """Cancel the job JOB.

    The exit status is 1 if it was too late: a job ends once, and had ended otherwise.
    """
    with closing(Uploads()) as uploads:
        result = uploads.cancel(job)
    in_time = result.state is JobState.CANCELLED
    if as_json:
        click.echo(json.dumps(result.model_dump(mode="json")))
    else:
        click.echo(f"{job}: " + ("" if in_time else "too late, it had ended as ") + result.state)
    if not in_time:
        raise SystemExit(1)
