"""``uploadmill storage check``: run the storage contract against a store."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict

import click

from uploadmill.backends.storage.base import Storage
from uploadmill.backends.storage.contract import CheckResult, run_contract
from uploadmill.backends.storage.opening import open_storage, storage_from
from uploadmill.settings import Settings
from uploadmill.worker.commands.show import table

#: Names that may stand for a URL: the stores of the settings, with their credentials.
ROLES = ("staging", "primary", "secondary", "quarantine")


@click.group()
def storage() -> None:
    """Look at stores."""


@storage.command()
@click.argument("url")
@click.option("--json", "as_json", is_flag=True, help="One JSON document.")
def check(url: str, *, as_json: bool) -> None:
    """Run every check of the storage contract against the store at URL.

    URL is file:///path, s3://bucket/prefix?endpoint_url=...&region=..., or a store of the
    settings: staging, primary, secondary, quarantine. Credentials for a URL come from the
    environment (AWS_ACCESS_KEY_ID, ...), files or role of the provider. The checks work in a
    folder of their own, and leave nothing behind. The exit status is 1 if one fails.
    """
    store = _open(url)
    # One message where nobody is there, instead of forty.
    store.ping()
    results = []
    for result in run_contract(store):
        results.append(result)
        if not as_json and not result.ok:
            click.echo(f"{result.name}: {result.detail}", err=True)
    ok = all(result.ok for result in results)
    if as_json:
        document = {"ok": ok, "checks": [asdict(result) for result in results]}
        click.echo(json.dumps(document, indent=2))
    else:
        click.echo("\n".join(_report(results)))
    if not ok:
        raise SystemExit(1)


def _open(url: str) -> Storage:
    if url in ROLES:
        return storage_from(getattr(Settings.load(), url), url)
    return open_storage(url)


def _report(results: Sequence[CheckResult]) -> list[str]:
    rows = [
        (_verdict(result), result.name.replace("_", " "), f"{result.ms:.0f} ms", _why(result))
        for result in results
    ]
    failed = sum(not result.ok for result in results)
    missing = sum(not result.offered for result in results)
    ending = f"{len(results)} checks, {failed} failed, {missing} of what this store has not got."
    return [*table(rows), "", ending]


def _verdict(result: CheckResult) -> str:
    if not result.offered:
        return "-"
    return "ok" if result.ok else "FAULT"


def _why(result: CheckResult) -> str:
    """Why something is not offered; faults were told as they were found."""
    return result.detail if result.ok else ""
