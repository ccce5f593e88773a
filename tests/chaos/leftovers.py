"""What may be left over when all jobs have ended: nothing, but what says where things are."""

from __future__ import annotations

from collections.abc import Iterator

import redis

from chaos.book import Book
from chaos.places import Places
from uploadmill.backends.ledger.breaker import CIRCUITS
from uploadmill.backends.ledger.canary import CANARIES
from uploadmill.backends.ledger.names import (
    AGREED,
    ENDED,
    FAILED,
    HEAL,
    JOB,
    OPEN,
    RUNNING,
    SINCE,
    STATS,
    STRANDED,
    WAITING,
)
from uploadmill.backends.storage.canary import FOLDER as CANARY_FOLDER
from uploadmill.job import JobState, Outcome, Placement
from uploadmill.wire import ENVELOPES, LEDGER_PREFIX, OUTCOMES, UPLOADS

#: Indexes of jobs that are open: none may name any job now. Of a lease ``um:running`` tells.
OPEN_INDEXES = {"open": OPEN, "since": SINCE, "running": RUNNING, "waiting": WAITING}

#: Indexes of jobs that have ended, and which of those they may name.
ENDED_INDEXES = {"heal": HEAL, "stranded": STRANDED, "failed": FAILED}

#: Whatever else the ledger keeps; a key beyond all these is one that nobody checks.
NO_INDEX = (
    *(CIRCUITS, CANARIES, ENDED, STATS),
    *(LEDGER_PREFIX + name for name in ("nodes", "probe", "canary", "reconciled", "healed")),
)
NO_INDEXES = (JOB, AGREED, LEDGER_PREFIX + "lock:")

#: What Celery has taken off the queue and not acknowledged, in two keys.
UNACKED, UNACKED_INDEX = "unacked", "unacked_index"


def waiting_lists(client: redis.Redis) -> list[str]:
    """Every list there is, which on a Redis are queues: none is there without a message."""
    return list(client.scan_iter(_type="list"))


class Leftovers:
    """Goes through every place but the jobs' own.

    Args:
        outcomes: How each job ended, by its id.
    """

    def __init__(
        self, places: Places, book: Book, outcomes: dict[str, Outcome], client: redis.Redis
    ) -> None:
        self.places = places
        self.book = book
        self.outcomes = outcomes
        self.client = client

    def check(self) -> None:
        self._check_indexes()
        self._check_keys()
        self._check_queue()
        self._check_workspaces()
        envelopes = self.places.shelves["staging"].states(ENVELOPES)
        self._none("envelopes", [key.removeprefix(ENVELOPES) for key in envelopes])
        for role, shelf in self.places.shelves.items():
            self._none(f"parts of uploads in {role}", shelf.parts())
            self._none(f"unexpected objects in {role}", list(self._unexpected(role)))

    def _check_indexes(self) -> None:
        for name, key in OPEN_INDEXES.items():
            self._none(f"jobs in um:{name}", self.client.zrange(key, 0, -1))
        for name, key in ENDED_INDEXES.items():
            named = self.client.zrange(key, 0, -1)
            wrong = [job_id for job_id in named if not self._may_name(name, job_id)]
            self._none(f"jobs in um:{name}", wrong)

    def _may_name(self, index: str, job_id: str) -> bool:
        outcome, entry = self.outcomes.get(job_id), self.book.entries.get(job_id)
        if index == "failed":
            return outcome is not None and outcome.state is JobState.FAILED
        if index == "heal":  # any that has ended: a broken off commit may have left things there
            return outcome is not None or (entry is not None and entry.outlasting is not None)
        location = self.client.hget(JOB + job_id, "location")
        return outcome is not None and Placement.SECONDARY == (location or outcome.placed)

    def _check_keys(self) -> None:
        indexes = {*OPEN_INDEXES.values(), *ENDED_INDEXES.values(), *NO_INDEX}
        keys = list(self.client.scan_iter(LEDGER_PREFIX + "*"))
        jobs = [key.removeprefix(JOB) for key in keys if key.startswith(JOB)]
        unknown = [job_id for job_id in jobs if job_id not in self.book.entries]
        self._none("records of unknown jobs", unknown)
        strange = [key for key in keys if key not in indexes and not key.startswith(NO_INDEXES)]
        self._none("keys that nobody checks", strange)

    def _check_queue(self) -> None:
        for queue in waiting_lists(self.client):
            self._none(f"messages in {queue}", self.client.lrange(queue, 0, -1))
        self._none("unacknowledged messages", self.client.hkeys(UNACKED))
        self._none("times of unacknowledged messages", self.client.zrange(UNACKED_INDEX, 0, -1))
        self._none("messages in the broker", ["one"] * self.places.queued())

    def _check_workspaces(self) -> None:
        for workspace in self.places.workspaces:
            jobs = workspace / "jobs"
            left = [path.name for path in jobs.iterdir()] if jobs.exists() else []
            self._none(f"workspaces in {workspace.name}", left)

    def _unexpected(self, role: str) -> Iterator[str]:
        """Objects that belong to no job, or are nothing that a job has."""
        for key in self.places.shelves[role].states():
            folder, _, rest = key.partition("/")
            if role == "staging":
                job_id = rest.partition("/")[0].removesuffix(".json")
                known = folder + "/" in (UPLOADS, ENVELOPES, OUTCOMES)
            else:
                job_id, known = folder, bool(rest)
            if not known or job_id not in (*self.book.entries, CANARY_FOLDER):
                yield key

    def _none(self, what: str, found: list[str]) -> None:
        if found:
            shown = f"{len(found)} left, such as {found[:3]}"
            self.book.first(self.book.wrong, what, shown)
