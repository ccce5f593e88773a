"""How it stands with the output stores, as all workers together have found."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing

from uploadmill.backends.ledger.breaker import circuits
from uploadmill.backends.ledger.canary import CanaryState, canaries
from uploadmill.backends.ledger.ledger import Ledger
from uploadmill.backends.storage.breaker import Circuit
from uploadmill.errors import LedgerUnavailable
from uploadmill.settings import Settings
from uploadmill.worker.checks.finding import Finding, good, warning
from uploadmill.worker.checks.stores import ROLES

#: Seconds to wait for one answer.
TIMEOUT = 2.0

#: So many times the usual pause without a canary means that no worker sends any.
LATE = 3


def check_circuits(settings: Settings) -> Iterator[Finding]:
    """The workers ask their output stores, and the last canaries came back."""
    with closing(Ledger(settings.redis_url, settings.ledger, timeout=TIMEOUT)) as ledger:
        try:
            found, sent = circuits(ledger), canaries(ledger)
        except LedgerUnavailable:
            return  # which the check of the ledger says
    for store, state in found.items():
        if state.circuit is not Circuit.CLOSED:
            yield warning(
                f"{store} circuit",
                f"{state.circuit}{state.whose} for {state.since:.0f} s: {state.reason}",
                ROLES.get(store, "its objects go elsewhere"),
                f"mend the store; a job or canary asks it again after {settings.breaker.open:g} s",
            )
    if all(state.circuit is Circuit.CLOSED for state in found.values()):
        yield good("circuits", "the workers ask all output stores")
    for store, canary in sent.items():
        yield _canary(store, canary, settings.worker.canary)


def _canary(store: str, canary: CanaryState, every: float) -> Finding:
    check = f"{store} canary"
    if not canary.ok:
        how = "look at what it says, then at `uploadmill canary`"
        return warning(check, f"{canary.ago:.0f} s ago: {canary.reason}", ROLES.get(store, ""), how)
    if store == "secondary" and canary.ago > LATE * every:
        return warning(
            check,
            f"the last one came back {canary.ago:.0f} s ago",
            "nobody would know if the secondary did not work any more",
            "start a worker: it sends one every worker.canary seconds",
        )
    return good(check, f"came back {canary.ago:.0f} s ago, within {canary.ms:.0f} ms")
