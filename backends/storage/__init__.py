"""Stores of objects under keys: memory, local disk, S3, one contract."""

from __future__ import annotations

from uploadmill.backends.storage.opening import open_storage, storage_from, stores_from

__all__ = ["open_storage", "storage_from", "stores_from"]
