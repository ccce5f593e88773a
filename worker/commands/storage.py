"""``uploadmill storage``: the contract against a store, and an audit of what the stores have."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import asdict

import click

from uploadmill.backends.ledger.audit import Audited
from uploadmill.backends.ledger.audit import audit as run_audit
from uploadmill.backends.ledger.audit_look import Kind
from uploadmill.backends.ledger.ledger import Ledger
from uploadmill.backends.ledger.settle import Settler
from uploadmill.backends.storage import stores_from
from uploadmill.backends.storage.base import Storage
from uploadmill.backends.storage.contract import CheckResult, run_contract
from uploadmill.backends.storage.opening import open_storage, storage_from
from uploadmill.settings import Settings
from uploadmill.settings_stores import ROLES
from uploadmill.worker.commands.show import size, table


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


#: What each kind of finding means.
KINDS: dict[Kind, str] = {
    "no_record": "an object of which no outcome, result or record tells",
    "no_object": "a record, outcome or result tells of it, and it is not there",
    "wrong_digest": "it has not the bytes that its result names",
    "both": "a copy on the secondary that nobody is going to remove",
    "not_queued": "on the secondary, and nobody is going to bring it home",
    "parts": "an upload by parts that was broken off",
    "unreadable": "its outcome was written by a newer version",
}


@storage.command()
@click.option("--verify", is_flag=True, help="Read all outputs, instead of asking for their facts.")
@click.option("--json", "as_json", is_flag=True, help="One JSON document.")
def audit(*, verify: bool, as_json: bool) -> None:
    """Compare what primary and secondary have with what is told of them.

    Objects without a record, records without an object, wrong digests, copies in both places
    outside the grace, uploads that were broken off. Nothing is changed or deleted; `uploadmill
    recover` queues what is not queued, `uploadmill gc` removes what nobody needs. The exit status
    is 1 where something is wrong.
    """
    settings = Settings.load()
    with closing(Ledger(settings.redis_url, settings.ledger)) as ledger:
        for found in run_audit(Settler(ledger, stores_from(settings)), verify=verify):
            if isinstance(found, Audited):
                report = found
            elif not as_json:
                click.echo(f"{found.kind}: {found.store}/{found.key}", err=True)
    if as_json:
        click.echo(json.dumps({"ok": report.ok, **asdict(report)}))
    else:
        click.echo("\n".join(_audited(report)))
    if not report.ok:
        raise SystemExit(1)


def _audited(report: Audited) -> Iterator[str]:
    for role, count in report.objects.items():
        yield f"{role}: {count} objects, {size(report.bytes[role])}"
    rows = [(str(pile.count), kind, KINDS[kind]) for kind, pile in report.piles.items()]
    yield from table(rows) if rows else ["Nothing is wrong."]


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
