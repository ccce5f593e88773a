"""What must be true when all faults have stopped and the jobs have been worked off."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import redis

from chaos.book import Book, Entry
from chaos.watcher import OUTPUT_STORES, files_below
from uploadmill.backends.ledger.ledger import JOB, OPEN
from uploadmill.job import JobState, Outcome
from uploadmill.wire import ENVELOPES, OUTCOMES, QUEUE, UPLOADS


@dataclass(frozen=True)
class Places:
    """Where to look.

    Attributes:
        folder: Of the local stores.
        state_of: What a producer is told about a job.
        workspaces: Of the nodes that are still there.
        broker_url: Where a Redis is the broker, its queue must be empty too.
    """

    folder: Path
    redis_url: str
    workspaces: tuple[Path, ...]
    state_of: Callable[[str], JobState]
    broker_is_redis: bool = True


class Checker:
    """Goes through all jobs, then through everything that may be left over."""

    def __init__(self, places: Places, book: Book) -> None:
        self.places = places
        self.book = book
        self.staging = places.folder / "staging"

    def check(self) -> None:
        with redis.Redis.from_url(self.places.redis_url, decode_responses=True) as client:
            for entry in list(self.book.entries.values()):
                self._check_job(entry, client.hgetall(JOB + entry.id))
            self._check_leftovers(client)

    def _check_job(self, entry: Entry, record: dict[str, str]) -> None:
        if entry.outlasting is not None:
            self._check_collected(entry, entry.outlasting)
            return
        path = self.staging / OUTCOMES / f"{entry.id}.json"
        if not path.exists():
            self._check_unfinished(entry, record)
            return
        document = path.read_bytes()
        outcome = Outcome.model_validate_json(document)
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
        roots = [self.places.folder / store for store in (*OUTPUT_STORES, "quarantine")]
        folders = [*((root, root / entry.id) for root in roots)]
        folders.append((self.staging, self.staging / UPLOADS / entry.id))
        left = {
            f"{root.name}/{path.relative_to(root)}"
            for root, folder in folders
            for path in files_below(folder)
        }
        if left != outlasting:
            self._wrong(entry, f"collected, and there is {sorted(left)}, not {sorted(outlasting)}")
        if (self.staging / OUTCOMES / f"{entry.id}.json").exists():
            self._wrong(entry, "collected, and its outcome is left")
        if outlasting and self.places.state_of(entry.id) is not JobState.STORED:
            self._wrong(entry, "collected, and a reader does not find its result")

    def _check_unfinished(self, entry: Entry, record: dict[str, str]) -> None:
        envelope = (self.staging / ENVELOPES / f"{entry.id}.json").exists()
        if entry.accepted is None and not envelope and not record:
            return
        what = f"step {record['step']}" if record else "no record"
        self.book.first(self.book.lost, entry.id, f"no outcome; {what}, envelope: {envelope}")

    def _check_objects(self, entry: Entry, outcome: Outcome, record: dict[str, str]) -> None:
        stored = outcome.state is JobState.STORED
        location = record.get("location") or (outcome.placed.value if outcome.placed else "")
        named = {output.key: output for output in outcome.result.outputs.values()}
        for role in OUTPUT_STORES:
            root = self.places.folder / role
            there = {str(path.relative_to(root)) for path in files_below(root / entry.id)}
            wanted = {*named, f"{entry.id}/result.json"} if stored and role == location else set()
            if role == "secondary" and location != role == outcome.placed:
                # It was healed: the copy waits here until the grace is over.
                there -= {f"{entry.id}/result.json"}
            if stored and not wanted:
                # A commit broken off by an outage leaves named bytes there, until they are
                # collected. Without a result.json nobody is told of them.
                there -= set(named)
            if there != wanted:
                self._wrong(entry, f"{role} has {sorted(there)}, not {sorted(wanted)}")
                continue
            for key in named if wanted else ():
                self._check_output(entry, root / key, named[key].sha256, named[key].size)
        copies = [path.name for path in files_below(self.places.folder / "quarantine" / entry.id)]
        if copies != ([entry.upload.sha256] if outcome.state is JobState.QUARANTINED else []):
            self._wrong(entry, f"in quarantine: {copies}")

    def _check_output(self, entry: Entry, path: Path, sha256: str, size: int) -> None:
        content = path.read_bytes()
        if (hashlib.sha256(content).hexdigest(), len(content)) != (sha256, size):
            self._wrong(entry, f"{path.name} has other bytes than its outcome says")

    def _check_staged(self, entry: Entry, outcome: Outcome) -> None:
        """Bytes go with stored and quarantined jobs, and stay for a while with all others."""
        left = list(files_below(self.staging / UPLOADS / entry.id))
        gone = outcome.state in (JobState.STORED, JobState.QUARANTINED)
        if gone and left:
            self._wrong(entry, f"{len(left)} staged object(s) left")
        if not gone and not left:
            self._wrong(entry, f"{outcome.state.value}, and its staged bytes are gone")

    def _check_leftovers(self, client: redis.Redis) -> None:
        self._none("envelopes", [path.name for path in files_below(self.staging / ENVELOPES)])
        self._none("open jobs", client.zrange(OPEN, 0, -1))
        known = self.book.entries
        records = [key.removeprefix(JOB) for key in client.scan_iter(JOB + "*")]
        self._none("records of unknown jobs", [key for key in records if key not in known])
        if self.places.broker_is_redis:
            self._none("messages", client.lrange(QUEUE, 0, -1))
            self._none("unacknowledged messages", client.hkeys("unacked"))
        for workspace in self.places.workspaces:
            jobs = workspace / "jobs"
            left = [path.name for path in jobs.iterdir()] if jobs.exists() else []
            self._none(f"workspaces in {workspace.name}", left)

    def _none(self, what: str, found: list[str]) -> None:
        if found:
            self.book.first(self.book.wrong, what, f"{len(found)} left, such as {found[:3]}")

    def _wrong(self, entry: Entry, what: str) -> None:
        self.book.first(self.book.wrong, entry.id, what)
