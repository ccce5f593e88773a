"""What a killed write may leave in a store, unseen: found, and forgotten."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol, runtime_checkable


@dataclass(frozen=True, slots=True)
class UnfinishedUpload:
    """An upload by parts that was begun and neither completed nor aborted.

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
    """A storage in which the parts of a killed upload stay, unseen and paid for."""

    def unfinished(self, prefix: str = "") -> Iterator[UnfinishedUpload]:
        """Every unfinished upload to a key that starts with *prefix*."""

    def abort(self, upload: UnfinishedUpload) -> None:
        """Forget an upload and its parts; one that has gone is no error."""
