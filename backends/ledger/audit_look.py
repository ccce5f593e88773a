"""Look at one job: whether the stores have what something tells of, and nothing else."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Literal

from pydantic import ValidationError

from uploadmill.backends.ledger import heal_queue
from uploadmill.backends.ledger.decisions import read_document
from uploadmill.backends.ledger.record import Ended, Record
from uploadmill.backends.ledger.settle import Settler
from uploadmill.backends.ledger.whole import has, has_bytes
from uploadmill.backends.storage.objects import ObjectStat
from uploadmill.errors import ObjectNotFound
from uploadmill.job import JobResult, JobState, OutputFile, Placement
from uploadmill.wire import OUTCOMES

#: ``no_record`` an object of which nothing tells · ``no_object`` something tells of an object that
#: is not there · ``wrong_digest`` it has other bytes or another size · ``both`` in both stores and
#: not to be healed · ``not_queued`` on the secondary alone, and the heal queue does not know ·
#: ``parts`` of an upload that was broken off · ``unreadable`` a document of a newer version.
Kind = Literal[
    "no_record", "no_object", "wrong_digest", "both", "not_queued", "parts", "unreadable"
]


@dataclass(frozen=True, slots=True)
class Finding:
    """Something that is not as it should be.

    Attributes:
        store: Its role.
        size: In bytes; 0 where nobody knows.
    """

    kind: Kind
    store: str
    key: str
    size: int = 0


@dataclass(slots=True)
class Traces:
    """What there is of one job.

    Attributes:
        objects: Its outputs and ``result.json`` as the output stores list them.
        outcome: Whether the staging store has its outcome.
    """

    id: str
    objects: dict[Placement, list[ObjectStat]] = field(default_factory=dict)
    outcome: bool = False


def look(settler: Settler, traces: Traces, *, verify: bool) -> list[Finding]:
    """Everything that is wrong with a job; nothing about one that somebody works on."""
    try:
        found = list(_Look(settler, traces, verify=verify).findings())
        # Redis may have forgotten that somebody works on it; its envelope is asked for last,
        # because few jobs look wrong.
        return found if found and settler.decisions.envelope(traces.id) is None else []
    except ValidationError:
        return [Finding("unreadable", "staging", f"{OUTCOMES}{traces.id}.json")]


class _Look:
    """One look at one job."""

    def __init__(self, settler: Settler, traces: Traces, *, verify: bool) -> None:
        self.settler = settler
        self.stores = settler.stores
        self.traces = traces
        self.verify = verify
        self.result_key = self.stores.result_key(traces.id)

    def findings(self) -> Iterator[Finding]:
        record = self.settler.ledger.read(self.traces.id)
        if isinstance(record, Record):
            return  # somebody works on it: what it puts has no result yet
        result, location = self._told_of(record)
        if location in (Placement.PRIMARY, Placement.SECONDARY):
            yield from self._missing(result, location)
            yield from self._wrong(result)
            yield from self._misplaced(location)
        yield from self._untold(result)

    def _told_of(self, record: Ended | None) -> tuple[JobResult | None, Placement | None]:
        """What the job stored, and where: by its record, its outcome, or its ``result.json``."""
        at_home = self._has(Placement.PRIMARY, self.result_key)
        if record is not None:
            stored = record.state is JobState.STORED
            return (record.outcome.result if stored else None), record.location
        if self.traces.outcome:
            decision = self.settler.decisions.outcome(self.traces.id)
            if decision is not None:
                outcome = decision.outcome
                home = at_home and outcome.placed is Placement.SECONDARY
                stored = outcome.state is JobState.STORED
                location = Placement.PRIMARY if home else outcome.placed
                return (outcome.result if stored else None), location
        for placed in (Placement.PRIMARY, Placement.SECONDARY):
            document = self._document(placed)
            if document is not None:
                return JobResult.model_validate_json(document), placed
        return None, None

    def _document(self, placed: Placement) -> bytes | None:
        if not self._has(placed, self.result_key):
            return None
        return read_document(self.stores.at(placed), self.result_key)

    def _missing(self, result: JobResult | None, location: Placement) -> Iterator[Finding]:
        for key in self._named(result):
            if not self._has(location, key):
                yield Finding("no_object", location.value, key)

    def _wrong(self, result: JobResult | None) -> Iterator[Finding]:
        for placed in (Placement.PRIMARY, Placement.SECONDARY):
            for made in result.outputs.values() if result else ():
                if self._has(placed, made.key) and not self._right(placed, made):
                    yield Finding("wrong_digest", placed.value, made.key, made.size)

    def _right(self, placed: Placement, made: OutputFile) -> bool:
        right = has_bytes if self.verify else has
        try:
            return right(self.stores.at(placed), made)
        except ObjectNotFound:
            return False  # it has just gone; a second look will tell more

    def _misplaced(self, location: Placement) -> Iterator[Finding]:
        """What lies on the secondary and nobody is going to bring home, or to remove."""
        left = self.traces.objects.get(Placement.SECONDARY, [])
        if left and heal_queue.unknown_of(self.settler.ledger, [self.traces.id]):
            kind: Kind = "not_queued" if location is Placement.SECONDARY else "both"
            for stat in left:
                yield Finding(kind, "secondary", stat.key, stat.size)

    def _untold(self, result: JobResult | None) -> Iterator[Finding]:
        named = self._named(result)
        for placed, found in self.traces.objects.items():
            for stat in found:
                if stat.key not in named:
                    yield Finding("no_record", placed.value, stat.key, stat.size)

    def _named(self, result: JobResult | None) -> list[str]:
        if result is None:
            return []
        return [*(made.key for made in result.outputs.values()), self.result_key]

    def _has(self, placed: Placement, key: str) -> bool:
        return any(stat.key == key for stat in self.traces.objects.get(placed, ()))
