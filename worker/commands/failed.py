"""``uploadmill failed``: the jobs that failed, to be looked at and replayed."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import asdict
from datetime import datetime

import click

from uploadmill.backends.ledger.failed import FailedJob, failed_jobs
from uploadmill.backends.ledger.ledger import Ledger
from uploadmill.settings import Settings
from uploadmill.worker.commands.show import table


@click.command()
@click.option("--code", help="Only those with this error code, such as poison.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object a line, one for each job.")
def failed(code: str | None, *, as_json: bool) -> None:
    """List the jobs that failed, the latest first.

    They are listed as long as their results are in Redis; after that time their bytes are gone,
    too. `uploadmill replay` runs them again.
    """
    found = listed(code)
    if as_json:
        for job in found:
            click.echo(json.dumps(asdict(job), default=_moment))
    else:
        click.echo("\n".join(_report(found) if found else [none_failed(code)]))


def listed(code: str | None) -> Sequence[FailedJob]:
    """The jobs that failed, with *code* where one is given."""
    settings = Settings.load()
    with closing(Ledger(settings.redis_url, settings.ledger)) as ledger:
        return list(failed_jobs(ledger, code))


def none_failed(code: str | None) -> str:
    """What is said where there is none."""
    return "No job failed" + (f" with {code}." if code else ".")


def _report(found: Sequence[FailedJob]) -> Iterator[str]:
    headings = ("job", "ended", "kept until", "step", "error")
    rows = [
        (job.job_id, _minute(job.ended_at), _minute(job.keep_until), job.step or "", _error(job))
        for job in found
    ]
    yield from table([headings, *rows])


def _error(job: FailedJob) -> str:
    return f"{job.code}: {job.message}"


def _minute(moment: datetime | None) -> str:
    return moment.strftime("%Y-%m-%d %H:%MZ") if moment else ""


def _moment(value: object) -> str:
    """A time as the other documents of this command line have it."""
    if isinstance(value, datetime):
        return value.isoformat().replace("+00:00", "Z")
    raise TypeError(type(value).__name__)
