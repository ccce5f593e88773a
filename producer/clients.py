"""The connections a producer works with, made per process on first use."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from uploadmill.backends.storage.roles import Stores
from uploadmill.producer.publish import Publisher
from uploadmill.settings import Settings
from uploadmill.wire import PRODUCER_TIMEOUT

if TYPE_CHECKING:
    from uploadmill.backends.ledger.decisions import Decisions
    from uploadmill.backends.ledger.ledger import Ledger
    from uploadmill.backends.ledger.settle import Settler

#: Bytes are staged and outputs are read. What is in quarantine is the workers' affair, and its
#: credentials need not be given to a web app.
ROLES = ("staging", "primary", "secondary")


@dataclass(frozen=True, slots=True)
class Clients:
    """One process's stores, ledger and broker."""

    settings: Settings
    settler: Settler
    publisher: Publisher

    @property
    def stores(self) -> Stores:
        """The stores by role."""
        return self.settler.stores

    @property
    def ledger(self) -> Ledger:
        """The job records."""
        return self.settler.ledger

    @property
    def decisions(self) -> Decisions:
        """Envelopes and outcomes."""
        return self.settler.decisions

    def close(self) -> None:
        """Give the connections to Redis and the broker back."""
        self.ledger.close()
        self.publisher.close()


def open_stores(settings: Settings) -> Stores:
    """The stores that a producer uses; nothing is connected before its first use.

    Raises:
        InvalidSettings: With everything for which one of them cannot be opened.
    """
    # It brings along the package of each kind of store that is configured.
    from uploadmill.backends.storage import stores_from  # noqa: PLC0415

    return stores_from(settings, ROLES)


def connect(settings: Settings) -> Clients:
    """The clients that *settings* describe; nothing is connected before its first use."""
    # Redis and Celery cost a third of a second to import, which an app that only imports
    # Uploads should not pay.
    from uploadmill.backends.ledger.ledger import Ledger  # noqa: PLC0415
    from uploadmill.backends.ledger.settle import Settler  # noqa: PLC0415

    ledger = Ledger(settings.redis_url, settings.ledger, timeout=PRODUCER_TIMEOUT)
    settler = Settler(ledger, open_stores(settings))
    return Clients(settings, settler, Publisher(settings.broker_url))
