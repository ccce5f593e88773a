"""``uploadmill stats``: how all jobs stand."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from contextlib import closing
from dataclasses import asdict
from itertools import chain
from typing import Any

import click

from uploadmill.backends.ledger.breaker import CircuitState, circuits
from uploadmill.backends.ledger.canary import CanaryState, canaries
from uploadmill.backends.ledger.ledger import Ledger
from uploadmill.backends.ledger.stats import Stats
from uploadmill.backends.ledger.stats import stats as count
from uploadmill.backends.storage.breaker import Circuit
from uploadmill.settings import Settings
from uploadmill.worker.commands.show import table

#: A name, a number or word, and what it means.
Row = tuple[str, str, str]


@click.command()
@click.option("--json", "as_json", is_flag=True, help="One JSON object.")
def stats(*, as_json: bool) -> None:
    """Show how many jobs stand how, and what has gone wrong.

    Open jobs are counted as they stand now, everything else since the ledger was last empty.
    """
    settings = Settings.load()
    with closing(Ledger(settings.redis_url, settings.ledger)) as ledger:
        found, broken, sent = count(ledger), circuits(ledger), canaries(ledger)
    if as_json:
        stores = {"circuits": _each(broken), "canaries": _each(sent)}
        click.echo(json.dumps(asdict(found) | stores))
        return
    click.echo("\n".join(_report(found, _circuits(broken), _canaries(sent))))


def _each(states: Mapping[str, CircuitState] | Mapping[str, CanaryState]) -> dict[str, Any]:
    return {store: asdict(state) for store, state in states.items()}


def _circuits(broken: Mapping[str, CircuitState]) -> Iterator[Row]:
    for store, state in broken.items():
        what = f"for {_age(state.since)}{state.whose}, opened {state.openings} times"
        why = f": {state.reason}" if state.circuit is not Circuit.CLOSED else ""
        yield f"circuit {store}", state.circuit, what + why


def _canaries(sent: Mapping[str, CanaryState]) -> Iterator[Row]:
    for store, state in sent.items():
        what = f"{_age(state.ago)} ago, took {state.ms:.0f} ms"
        yield f"canary {store}", "ok" if state.ok else "FAULT", state.reason or what


def _report(found: Stats, *stores: Iterable[Row]) -> Iterator[str]:
    rows = [
        ("open", str(found.open), "accepted, running or waiting"),
        ("  accepted", str(found.accepted), "nobody works on them yet"),
        ("  running", str(found.running), "somebody does"),
        ("  waiting", str(found.waiting), "to be tried again later"),
        ("due", str(found.due), "somebody must look at them now"),
        ("oldest open", _age(found.oldest_open), "since it was accepted"),
        ("heal", str(found.heal), "stored on the secondary"),
        ("  oldest", _age(found.oldest_heal), "since it was stored there"),
        ("healed", str(found.healed), "on the primary again; the copy stays for a while"),
        ("taken", str(found.taken), "accepted so far"),
        *_counted("ended", found.ended),
        *_counted("failed", found.failed),
        ("swept", str(found.swept), "wakes that the sweeper sent"),
        ("lost", str(found.lost), "leases that ran out with their workers"),
        ("crashed", str(found.crashed), "children that died at work"),
        ("fenced", str(found.fenced), "calls of workers that had lost their lease"),
        ("vanished", str(found.vanished), "open jobs whose records were gone"),
        *chain(*stores),
    ]
    yield from table(rows)


def _age(seconds: float | None) -> str:
    return "none" if seconds is None else f"{seconds:.0f} s"


def _counted(name: str, counts: Mapping[str, int]) -> Iterator[tuple[str, str, str]]:
    for kind, count_ in counts.items():
        yield f"{name} {kind}", str(count_), ""
