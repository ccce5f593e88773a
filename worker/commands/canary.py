"""``uploadmill canary``: use the stores that nobody needs just now."""

from __future__ import annotations

import json
import logging
import socket
import time
from collections.abc import Iterator, Mapping
from contextlib import closing
from dataclasses import asdict

import click

from uploadmill.backends.ledger import canary as canaries
from uploadmill.backends.ledger.breaker import SharedBreakers, circuits
from uploadmill.backends.ledger.canary import CanaryState
from uploadmill.backends.ledger.ledger import Ledger
from uploadmill.backends.storage import stores_from
from uploadmill.backends.storage.base import Storage
from uploadmill.backends.storage.breaker import Breaker, Circuit, admitted
from uploadmill.backends.storage.canary import FOLDER, exercise
from uploadmill.backends.storage.roles import Stores
from uploadmill.errors import UploadmillError
from uploadmill.settings import Settings
from uploadmill.worker.commands.show import table
from uploadmill.worker.logs import log_to_stderr

log = logging.getLogger("uploadmill.canary")


@click.command()
@click.option("--json", "as_json", is_flag=True, help="One JSON object.")
@click.option("--log", "as_log", is_flag=True, hidden=True, help="As a worker starts it.")
def canary(*, as_json: bool, as_log: bool) -> None:
    """Try the secondary store with a small object.

    It is put, read back and deleted; in the primary too while its circuit is open, so that it
    closes without a job. What was found shows in stats and check. Workers do it every
    worker.canary seconds. The exit status is 1 if a store failed.
    """
    if as_log:
        log_to_stderr()
    settings = Settings.load()
    stores = stores_from(settings)
    with (
        closing(Ledger(settings.redis_url, settings.ledger)) as ledger,
        closing(SharedBreakers(settings.redis_url, settings.breaker)) as breakers,
    ):
        sent = list(_idle(stores, ledger))
        for store in sent:
            _send(store, _key(stores), ledger, breakers(store.name))
        known = canaries.canaries(ledger)
    found = {store.name: known[store.name] for store in sent}
    if not as_log:
        shown = {name: asdict(state) for name, state in found.items()}
        click.echo(json.dumps(shown) if as_json else "\n".join(table([*_rows(found)])))
    if not all(state.ok for state in found.values()):
        raise SystemExit(1)


def _idle(stores: Stores, ledger: Ledger) -> Iterator[Storage]:
    """The stores that no job uses now."""
    yield stores.secondary
    state = circuits(ledger).get(stores.primary.name)
    if state is not None and state.circuit is not Circuit.CLOSED:
        yield stores.primary


def _key(stores: Stores) -> str:
    """One of this machine's own: two canaries would take each other's away.

    Ending in what every store takes that a worker may use, whatever else it refuses.
    """
    return f"{stores.prefix}{FOLDER}/{socket.gethostname() or 'unnamed'}.json"


def _send(store: Storage, key: str, ledger: Ledger, breaker: Breaker) -> None:
    began = time.monotonic()
    reason = ""
    try:
        with closing(store), admitted(breaker, store.name):
            exercise(store, key)
    except UploadmillError as error:
        reason = str(error)
        log.error("canary_failed", extra={"store": store.name, "reason": reason})  # noqa: TRY400
    ms = (time.monotonic() - began) * 1000
    canaries.note(ledger, store.name, ms, reason)
    if not reason:
        log.info("canary_came_back", extra={"store": store.name, "ms": round(ms, 1)})


def _rows(found: Mapping[str, CanaryState]) -> Iterator[tuple[str, ...]]:
    for name, state in found.items():
        yield name, "ok" if state.ok else "FAULT", f"{state.ms:.0f} ms", state.reason
