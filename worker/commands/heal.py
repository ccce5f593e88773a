"""``uploadmill heal``: bring home what failed over to the secondary."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import closing
from dataclasses import asdict, replace

import click
import redis

from uploadmill.backends.ledger import healing
from uploadmill.backends.ledger.breaker import SharedBreakers
from uploadmill.backends.ledger.healing import Healed
from uploadmill.backends.ledger.ledger import Ledger
from uploadmill.backends.ledger.settle import Settler
from uploadmill.backends.storage import stores_from
from uploadmill.errors import LedgerUnavailable
from uploadmill.settings import Settings
from uploadmill.worker.commands.show import size, table
from uploadmill.worker.healing import turn
from uploadmill.worker.logs import log_to_stderr

#: What became of jobs, or would become of them.
KINDS = {
    "copied": "brought to the primary, where their outputs are read now",
    "cleared": "their copy on the secondary removed",
    "waiting": "on the primary; their copy stays for ledger.heal_grace",
    "postponed": "to be tried again: a store was out, or somebody works on them",
    "gone": "nothing of them was left to heal",
    "recalled": "no longer to be seen anywhere",
    "damaged": "bytes missing or wrong, nothing deleted: see `uploadmill storage audit`",
    "refused": "a store does not give or take them as they are: the log says why; they stay whole",
}


@click.command()
@click.option("--dry-run", is_flag=True, help="Say what is to be done, and change nothing.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object.")
@click.option("--in-turn", is_flag=True, hidden=True, help="Unless somebody else is at it.")
def heal(*, dry_run: bool, as_json: bool, in_turn: bool) -> None:
    """Bring home what failed over to the secondary, once.

    Outputs are copied to the primary and verified, the record is switched, and after a grace
    (ledger.heal_grace) the copy on the secondary is removed. Safe at any time, also beside
    workers, which do it by themselves. The exit status is 1 where a store was out, or bytes are
    damaged or refused.
    """
    settings = Settings.load()
    with closing(Ledger(settings.redis_url, settings.ledger)) as ledger:
        settler = Settler(ledger, stores_from(settings))
        if in_turn:
            _in_turn(settler, settings)
            return
        # By hand the stores are asked whatever their breakers say: somebody has mended them.
        if dry_run:
            found = healing.foresee(settler)
        else:
            found = healing.heal(settler, settings.heal, everything=True)
    click.echo(json.dumps(asdict(found)) if as_json else "\n".join(_report(found)))
    if found.unfinished or found.damaged or found.refused:
        raise SystemExit(1)


def _in_turn(settler: Settler, settings: Settings) -> None:
    """As a worker starts it: what is due, told in the log."""
    log_to_stderr()
    try:
        with (
            turn(settler.ledger.redis, settings.heal.every) as ours,
            closing(SharedBreakers(settings.redis_url, settings.breaker)) as breakers,
        ):
            settler.stores = replace(settler.stores, breakers=breakers)
            if ours:
                healing.heal(settler, settings.heal)
    except redis.RedisError as error:
        raise LedgerUnavailable(f"Redis does not serve us ({type(error).__name__})") from error


def _report(found: Healed) -> Iterator[str]:
    rows = [
        (str(getattr(found, kind)), kind, size(found.bytes) if kind == "copied" else "", what)
        for kind, what in KINDS.items()
        if getattr(found, kind)
    ]
    yield from table(rows) if rows else ["Nothing to heal."]
    for reason in found.unfinished:
        yield f"Not finished: {reason}"
    if rows and found.dry_run:
        yield "Nothing was changed."
