"""``uploadmill recover``: bring accepted jobs back into a ledger that has forgotten them."""

from __future__ import annotations

import logging
from contextlib import closing

import click

from uploadmill.backends.ledger.ledger import Ledger
from uploadmill.backends.ledger.reconcile import reconcile
from uploadmill.backends.ledger.settle import Settler
from uploadmill.backends.storage import stores_from
from uploadmill.settings import Settings
from uploadmill.worker.logs import Fields


@click.command()
def recover() -> None:
    """Make the ledger agree with the staging store again, once.

    Every job that has not been cleaned up is looked at: what was decided is concluded, what the
    ledger has forgotten is accepted again. Safe at any time; a worker does it when it starts.
    """
    _log_to_stderr()
    settings = Settings.load()
    with closing(Ledger(settings.redis_url, settings.ledger)) as ledger:
        reconcile(Settler(ledger, stores_from(settings)))


def _log_to_stderr() -> None:
    """Log like a worker, among whose lines these stand; ``reconcile`` logs what it did."""
    handler = logging.StreamHandler()
    handler.setFormatter(Fields())
    logger = logging.getLogger("uploadmill")
    logger.handlers = [handler]
    logger.setLevel(logging.INFO)
