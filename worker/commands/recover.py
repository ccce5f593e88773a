"""``uploadmill recover``: bring accepted jobs back into a ledger that has forgotten them."""

from __future__ import annotations

import logging
from contextlib import closing

import click
import redis

from uploadmill.backends.ledger.failed import refill
from uploadmill.backends.ledger.healing import find_stranded
from uploadmill.backends.ledger.ledger import Ledger
from uploadmill.backends.ledger.reconcile import reconcile
from uploadmill.backends.ledger.settle import Settler
from uploadmill.backends.storage import stores_from
from uploadmill.errors import LedgerUnavailable, StorageUnavailable
from uploadmill.settings import Settings
from uploadmill.worker.logs import log_to_stderr
from uploadmill.worker.reconciling import Turns

log = logging.getLogger("uploadmill.recover")


@click.command()
@click.option("--dry-run", is_flag=True, help="Say what would be done, and change nothing.")
@click.option(
    "--unless-within",
    type=float,
    hidden=True,
    help="Leave it to others who are at it, or began in the last so many seconds.",
)
def recover(unless_within: float | None, *, dry_run: bool) -> None:
    """Make the ledger agree with the staging store again, once.

    Every job that has not been cleaned up is looked at: what was decided is concluded, what the
    ledger has forgotten is accepted again, failed jobs are listed again, and what lies on the
    secondary is to be healed. Safe at any time; workers do it by themselves.
    """
    log_to_stderr()
    settings = Settings.load()
    with closing(Ledger(settings.redis_url, settings.ledger)) as ledger:
        settler = Settler(ledger, stores_from(settings))
        if dry_run:
            reconcile(settler, dry_run=True)
        elif unless_within is None:
            reconcile(settler)
            _go_through_lists(settler)
        else:
            _in_turn(settler, unless_within)


def _go_through_lists(settler: Settler) -> bool:
    """Find what no envelope tells of, and Redis may have forgotten; returns whether all of it."""
    forgotten = refill(settler)
    if forgotten:
        log.info("failed_jobs_listed_again", extra={"jobs": forgotten})
    try:
        find_stranded(settler)
    except StorageUnavailable as error:
        # Nothing of the secondary's is forgotten: it is looked through again next time.
        log.warning("secondary_not_looked_through", extra={"reason": str(error)})
        return False
    return True


def _in_turn(settler: Settler, unless_within: float) -> None:
    try:
        with Turns(settler.ledger.redis).take(unless_within) as turn:
            if turn:
                reconcile(settler)
                turn.listed = turn.lists and _go_through_lists(settler)
    except redis.RedisError as error:
        raise LedgerUnavailable(f"Redis does not serve us ({type(error).__name__})") from error
