"""All nodes together: what each of them must be able to reach."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing

from uploadmill.backends.ledger.ledger import Ledger
from uploadmill.errors import InvalidSettings, LedgerUnavailable
from uploadmill.settings import Settings
from uploadmill.worker.checks.finding import Finding, fault, good
from uploadmill.worker.roster import Roster, nodes

#: Seconds to wait for one answer.
TIMEOUT = 2.0


def check_nodes(settings: Settings) -> Iterator[Finding]:
    """The workers that run now fit each other, and a staging store in a folder has but one node."""
    with closing(Ledger(settings.redis_url, settings.ledger, timeout=TIMEOUT)) as ledger:
        try:
            there = nodes(ledger)
            yield from _agreed(Roster(ledger, settings))
        except LedgerUnavailable:
            return  # which the check of the ledger says
    if len(there) > 1 and settings.staging.url.startswith("file:"):
        yield fault(
            "nodes",
            f"{len(there)} nodes ({', '.join(sorted(there.values()))}) and the staging store is "
            f"the folder {settings.staging.url}",
            "a node does not see what was staged on another: its jobs end as source_missing",
            "set staging.url to a store that all nodes reach, or give all workers of one machine "
            "the same worker.workspace",
        )
    else:
        yield good("nodes", f"{len(there)} with workers")


def _agreed(roster: Roster) -> Iterator[Finding]:
    try:
        roster.compare()
    except InvalidSettings as error:
        yield fault(
            "visibility timeout",
            str(error),
            "a worker with these settings does not start",
            "set worker.visibility_timeout alike everywhere",
        )
