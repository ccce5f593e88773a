"""What a killed write may leave in a store, unseen: found, and forgotten."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol, runtime_checkable


@dataclass(frozen=True, slots=True)
class UnfinishedUpload:
    """A write that was begun and neither completed nor aborted.

    Attributes:
        key: Of the object it would have become.
        id: The store's name for it.
        begun: By the store's clock, aware.
    """

    key: str
    id: str
    begun: datetime


@runtime_checkable
class KeepsParts(Protocol):
    """A storage in which parts of a killed write stay, unseen and paid for."""

    def unfinished(self, prefix: str = "") -> Iterator[UnfinishedUpload]:
        """Every unfinished write of a key that starts with *prefix*; those at work, too."""

    def abort(self, upload: UnfinishedUpload) -> None:
        """Forget a write and its parts; one that has gone is no error."""
