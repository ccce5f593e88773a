"""A worker's application whose stores count how they are called.

``celery -A benchmarks.counting_app``
"""

from __future__ import annotations

from benchmarks.counting import Tally, counted
from uploadmill.backends.storage import stores_from
from uploadmill.backends.storage.roles import Stores
from uploadmill.settings import Settings
from uploadmill.worker import wiring
from uploadmill.worker.celery_app import app

__all__ = ["app"]


def _stores(settings: Settings) -> Stores:
    return counted(stores_from(settings), Tally(settings.redis_url, "worker"))


wiring.stores_from = _stores  # type: ignore[attr-defined,unused-ignore]
