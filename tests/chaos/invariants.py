"""What must be true when all faults have stopped and the jobs have been worked off."""

from __future__ import annotations

import hashlib

import redis

from chaos.book import Book, Entry
from chaos.leftovers import Leftovers
from chaos.places import Places
from chaos.shelves import OUTPUT_STORES, content_of, read
from chaos.watcher import RESULT
from uploadmill.backends.ledger.names import JOB
from uploadmill.job import JobState, Outcome
from uploadmill.wire import ENVELOPES, OUTCOMES, UPLOADS


class Checker:
    """Goes through all jobs, then through everything that may be left over."""

    def __init__(self, places: Places, book: Book) -> None:
        self.places = places
        self.book = book
        self.staging = places.shelves["staging"]
        self.outcomes: dict[str, Outcome] = {}

    def check(self) -> None:
        with redis.Redis.from_url(self.places.redis_url, decode_responses=True) as client:
            for entry in list(self.book.entries.values()):
                self._check_job(entry, client.hgetall(JOB + entry.id))
            Leftovers(self.places, self.book, self.outcomes, client).check()

    def _check_job(self, entry: Entry, record: dict[str, str]) -> None:
        if entry.outlasting is not None:
            self._check_collected(entry, entry.outlasting)
            return
        key = f"{OUTCOMES}{entry.id}.json"
        if not self.staging.states(key):
            self._check_unfinished(entry, record)
            return
        document = read(self.staging, key)
        outcome = self.outcomes[entry.id] = Outcome.model_validate_json(document)
        if outcome.state not in entry.upload.expected:
            error = outcome.result.error
            why = f"{error.code}: {error.message}" if error else ""
            self._wrong(entry, f"{outcome.state.value}, not {set(entry.upload.expected)} {why}")
        if record.get("state") == "open":
            self.book.first(self.book.lost, entry.id, "decided, but open in the ledger")
        elif record and record["digest"] != hashlib.sha256(document).hexdigest():
            self.book.first(self.book.doubled, entry.id, "the ledger has another end")
        elif not record and self.places.state_of(entry.id) is not outcome.state:
            self._wrong(entry, "the ledger has no record, and a reader is told something else")
        self._check_objects(entry, outcome, record)
        self._check_staged(entry, outcome)

    def _check_collected(self, entry: Entry, outlasting: frozenset[str]) -> None:
        """Nothing of it is left but what must be, and that is still what a reader is told."""
        folders = [(role, f"{entry.id}/") for role in (*OUTPUT_STORES, "quarantine")]
        folders.append(("staging", f"{UPLOADS}{entry.id}/"))
        left = {
            f"{role}/{key}"
            for role, below in folders
            for key in self.places.shelves[role].states(below)
        }
        if left != outlasting:
            self._wrong(entry, f"collected, and there is {sorted(left)}, not {sorted(outlasting)}")
        if self.staging.states(f"{OUTCOMES}{entry.id}.json"):
            self._wrong(entry, "collected, and its outcome is left")
        if outlasting and self.places.state_of(entry.id) is not JobState.STORED:
            self._wrong(entry, "collected, and a reader does not find its result")

    def _check_unfinished(self, entry: Entry, record: dict[str, str]) -> None:
        envelope = bool(self.staging.states(f"{ENVELOPES}{entry.id}.json"))
        if entry.accepted is None and not envelope and not record:
            return
        what = f"step {record['step']}" if record else "no record"
        self.book.first(self.book.lost, entry.id, f"no outcome; {what}, envelope: {envelope}")

    def _check_objects(self, entry: Entry, outcome: Outcome, record: dict[str, str]) -> None:
        stored = outcome.state is JobState.STORED
        location = record.get("location") or (outcome.placed.value if outcome.placed else "")
        named = {output.key: output for output in outcome.result.outputs.values()}
        result = f"{entry.id}/{RESULT}"
        for role in OUTPUT_STORES:
            there = set(self.places.shelves[role].states(f"{entry.id}/"))
            wanted = {*named, result} if stored and role == location else set()
            if role == "secondary" and location != role == outcome.placed:
                # It was healed: the copy waits here until the grace is over.
                there -= {result}
            if stored and not wanted:
                # A commit broken off by an outage leaves named bytes there, until they are
                # collected. Without a result.json nobody is told of them.
                there -= set(named)
            if there != wanted:
                self._wrong(entry, f"{role} has {sorted(there)}, not {sorted(wanted)}")
                continue
            for key in named if wanted else ():
                self._check_output(entry, role, key, (named[key].sha256, named[key].size))
        below = f"{entry.id}/"
        copies = [
            key.removeprefix(below) for key in self.places.shelves["quarantine"].states(below)
        ]
        if copies != ([entry.upload.sha256] if outcome.state is JobState.QUARANTINED else []):
            self._wrong(entry, f"in quarantine: {copies}")

    def _check_output(self, entry: Entry, role: str, key: str, said: tuple[str, int]) -> None:
        content = content_of(self.places.shelves[role], key)
        if (content.sha256, content.size) != said:
            self._wrong(entry, f"{key} has other bytes than its outcome says")

    def _check_staged(self, entry: Entry, outcome: Outcome) -> None:
        """Bytes go with stored and quarantined jobs, and stay for a while with all others."""
        left = self.staging.states(f"{UPLOADS}{entry.id}/")
        gone = outcome.state in (JobState.STORED, JobState.QUARANTINED)
        if gone and left:
            self._wrong(entry, f"{len(left)} staged object(s) left")
        if not gone and not left:
            self._wrong(entry, f"{outcome.state.value}, and its staged bytes are gone")

    def _wrong(self, entry: Entry, what: str) -> None:
        self.book.first(self.book.wrong, entry.id, what)
