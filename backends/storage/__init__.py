"""Stores of objects under keys: five kinds and what is made of several, one contract."""

from __future__ import annotations

from uploadmill.backends.storage.balanced import BalancedStorage
from uploadmill.backends.storage.failover import FailoverStorage
from uploadmill.backends.storage.opening import open_storage, storage_from, stores_from

__all__ = ["BalancedStorage", "FailoverStorage", "open_storage", "storage_from", "stores_from"]
