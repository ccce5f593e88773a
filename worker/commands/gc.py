"""``uploadmill gc``: collect what nobody needs any more."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import closing
from dataclasses import asdict

import click

from uploadmill.backends.ledger.gc import collect
from uploadmill.backends.ledger.gc_report import Collected
from uploadmill.backends.ledger.ledger import Ledger
from uploadmill.backends.ledger.settle import Settler
from uploadmill.backends.storage import stores_from
from uploadmill.settings import Settings
from uploadmill.worker.clearing import Cleared, Clearing
from uploadmill.worker.commands.show import size, table
from uploadmill.worker.workspace import Workspaces

#: What each kind of leftovers is.
KINDS = {
    "staged": "uploaded bytes that no job needs",
    "outcomes": "decisions older than ledger.tombstone_keep",
    "outputs": "outputs that such a decision does not name",
    "quarantine": "quarantined copies that such a decision does not name",
    "orphans": "outputs of which nothing tells any more",
    "parts": "uploads that were broken off",
}


@click.command()
@click.option("--delete", is_flag=True, help="Delete it.")
@click.option("--dry-run", is_flag=True, help="Only show what would go. This is the default.")
@click.option("--orphans", is_flag=True, help="With --delete: orphaned outputs, too.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object.")
def gc(*, delete: bool, dry_run: bool, orphans: bool, as_json: bool) -> None:
    """Collect what nobody needs any more.

    Looks into all stores and this node's workspaces. Nothing is deleted without --delete, and
    nothing at all whose key has not the form of uploadmill's own. Orphaned outputs are shown, and
    deleted with --orphans alone: somebody else may have put them there. The exit status is 1 where
    a store was out: then the rest is for next time.
    """
    if dry_run and delete:
        raise click.UsageError("--dry-run and --delete exclude each other")
    if orphans and not delete:
        raise click.UsageError("--orphans needs --delete; orphans are always shown")
    settings = Settings.load()
    with closing(Ledger(settings.redis_url, settings.ledger)) as ledger:
        settler = Settler(ledger, stores_from(settings))
        found = collect(settler, dry_run=not delete, orphans=orphans)
        workspaces = Workspaces(settings.worker.workspace)
        clearing = Clearing(ledger, workspaces, settings.worker.workspace_budget)
        cleared = clearing.clear(dry_run=not delete)
    if as_json:
        click.echo(json.dumps({**asdict(found), "workspaces": asdict(cleared)}))
    else:
        click.echo("\n".join(_report(found, cleared, orphans=orphans)))
    if found.unfinished:
        raise SystemExit(1)


def _report(found: Collected, cleared: Cleared, *, orphans: bool) -> Iterator[str]:
    rows: list[tuple[str, ...]] = [
        (str(pile.count), kind, size(pile.size), KINDS[kind]) for kind, pile in found.piles.items()
    ]
    count = cleared.needless + cleared.over_budget
    if count:
        what = "of no open job, or over this node's budget"
        rows.append((str(count), "workspaces", size(cleared.size), what))
    yield from table(rows) if rows else ["Nothing to collect."]
    if found.unreadable:
        yield f"{found.unreadable} job(s) left alone: a newer version wrote their documents."
    for line in found.unfinished:
        yield f"Not finished: {line}"
    if rows and found.dry_run:
        yield "Nothing was deleted; --delete does."
    elif found.piles.get("orphans") and not orphans:
        yield "Orphans were left; --orphans deletes them."
