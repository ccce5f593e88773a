"""What a collection found, and the one place where it deletes."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Literal

from pydantic import ValidationError

from uploadmill.backends.ledger.settle import Settler
from uploadmill.backends.storage.base import Storage
from uploadmill.backends.storage.objects import ObjectStat
from uploadmill.errors import TransientError

log = logging.getLogger("uploadmill.gc")

#: Keys of each kind that a report names.
SAMPLE = 10

#: ``staged`` bytes no job needs · ``outcomes`` older than ``tombstone_keep`` · ``outputs`` that a
#: job's outcome does not name, and ``quarantine`` copies that an old one does not · ``orphans``,
#: outputs of which nothing tells any more · ``parts`` of uploads that were broken off.
Kind = Literal["staged", "outcomes", "outputs", "quarantine", "orphans", "parts"]


@dataclass(slots=True)
class Pile:
    """Objects of one kind: how many, how many bytes (0 for parts), and some of their keys."""

    count: int = 0
    size: int = 0
    sample: list[str] = field(default_factory=list)

    def add(self, key: str, size: int) -> None:
        """Count one more."""
        self.count += 1
        self.size += size
        if len(self.sample) < SAMPLE:
            self.sample.append(key)


@dataclass(slots=True)
class Collected:
    """What was deleted, or would have been.

    Attributes:
        dry_run: Nothing was deleted.
        piles: What was found, by kind. Orphans may have been left although this was no dry run.
        unreadable: Jobs left alone because a newer version wrote their documents.
        unfinished: Which parts of the work broke off, and why; the next collection does them.
    """

    dry_run: bool
    piles: dict[Kind, Pile] = field(default_factory=dict)
    unreadable: int = 0
    unfinished: list[str] = field(default_factory=list)


class Broom:
    """Counts what is to go and, unless this is a dry run, deletes it and says so in the log.

    Attributes:
        now: By the staging store's clock, which also stands for those of the other stores.
    """

    def __init__(self, settler: Settler, now: datetime, *, dry_run: bool) -> None:
        self.settler = settler
        self.now = now
        self.report = Collected(dry_run=dry_run)

    def old(self, moment: datetime, age: float) -> bool:
        """Whether *moment* is more than *age* seconds ago."""
        return self.now - moment > timedelta(seconds=age)

    def count(self, kind: Kind, key: str, size: int = 0) -> None:
        """Put an object into the report and leave it where it is."""
        self.report.piles.setdefault(kind, Pile()).add(key, size)

    def take(self, kind: Kind, storage: Storage, found: Sequence[ObjectStat]) -> None:
        """Remove objects, all in one call where the store can."""
        for stat in found:
            self.count(kind, stat.key, stat.size)
        if found and not self.report.dry_run:
            keys = [stat.key for stat in found]
            # Said before it is done: a deletion that nobody can trace back must not happen.
            log.info("collected", extra={"kind": kind, "store": storage.name, "keys": keys})
            storage.delete(*keys)

    @contextmanager
    def part(self, name: str) -> Iterator[None]:
        """A part of the work, which an outage ends and the next collection begins again."""
        try:
            yield
        except TransientError as error:
            self.report.unfinished.append(f"{name}: {error}")
            log.warning("collection_unfinished", extra={"part": name, "reason": str(error)})

    @contextmanager
    def job(self, job_id: str) -> Iterator[None]:
        """One job of it; documents of a newer version are a newer collection's business."""
        try:
            yield
        except ValidationError:
            self.report.unreadable += 1
            log.warning("job_not_collected", extra={"job": job_id})
