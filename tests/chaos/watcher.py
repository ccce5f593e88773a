"""Looks at the stores all through a scenario, behind the product's back.

What it sees is a violation whenever it sees it, not only at the end: an object of infected bytes,
a half written one, a result without its outputs, a stored job of which something is away for a
moment, an outcome that changed, two ends of one job.
"""

from __future__ import annotations

import contextlib
import json
import threading
import time
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

import redis

from chaos.book import Book
from chaos.shelves import OUTPUT_STORES, Content, Shelf, State, content_of, read
from uploadmill.backends.ledger.names import ENDED
from uploadmill.backends.storage.canary import FOLDER as CANARIES
from uploadmill.wire import OUTCOMES

#: Seconds between two looks.
PAUSE = 0.25

RESULT = "result.json"


@dataclass(frozen=True)
class Seen:
    """An object, whose content was read when it was first seen in this state."""

    state: State
    content: Content


class Watcher(threading.Thread):
    """Watches stores, and the stream of ended jobs.

    Args:
        shelves: The stores by role.
        redis_url: The ledger itself, past any proxy.
        book: Where violations go.
    """

    def __init__(self, shelves: Mapping[str, Shelf], redis_url: str, book: Book) -> None:
        super().__init__(name="watcher", daemon=True)
        self.shelves = shelves
        self.book = book
        self.looks = 0
        self._redis = redis.Redis.from_url(redis_url, decode_responses=True, socket_timeout=1)
        self._objects: dict[tuple[str, str], Seen] = {}
        self._outcomes: dict[str, Seen] = {}
        self._stored: dict[str, frozenset[str]] = {}
        self._ended: dict[str, set[str]] = {}
        self._stopped = threading.Event()

    def run(self) -> None:
        try:
            while not self._stopped.wait(PAUSE):
                self.look()
        except Exception as error:  # noqa: BLE001 - who sees nothing finds nothing wrong
            self.book.first(self.book.wrong, "watcher", f"it broke: {error!r}")

    def stop(self) -> None:
        """Look once more, and end."""
        self._stopped.set()
        self.join()
        self.look()
        self._redis.close()

    def look(self) -> None:
        self._look_at_outcomes()
        listed = [self._look_at_store(role) for role in OUTPUT_STORES]
        self._look_for_gone(listed)
        with contextlib.suppress(redis.RedisError):
            self._look_at_stream()
        self.looks += 1

    def _look_at_store(self, role: str) -> Collection[str]:
        """The keys it has."""
        found = self.shelves[role].states()
        for key, state in found.items():
            if not key.startswith(CANARIES):
                with contextlib.suppress(OSError):
                    self._look_at_object(role, key, state)
        return found

    def _look_for_gone(self, listed: Sequence[Collection[str]]) -> None:
        """What was stored stays, all of it in one store, wherever it is brought."""
        for job_id, keys in self._stored.items():
            decided = f"{OUTCOMES}{job_id}.json" in self._outcomes
            if decided and not any(keys <= set(found) for found in listed):
                self._look_again(job_id, keys)

    def _look_again(self, job_id: str, keys: frozenset[str]) -> None:
        """A job comes home between two listings; and a scenario takes whole stores away."""
        for role in (*OUTPUT_STORES, OUTPUT_STORES[0]):
            found = self.shelves[role].states(f"{job_id}/")
            if keys <= set(found) or not self.shelves[role].there:
                return
        self.book.first(self.book.wrong, job_id, "what was stored has gone, if only for a moment")

    def _look_at_outcomes(self) -> None:
        staging = self.shelves["staging"]
        if not staging.there:
            return
        found = staging.states(OUTCOMES)
        for key, state in found.items():
            with contextlib.suppress(OSError):
                self._look_at_outcome(staging, key, state)
        if not staging.there:
            return
        for key in self._outcomes.keys() - found.keys():
            entry = self.book.entries.get(_job_of_outcome(key))
            if entry is None or entry.outlasting is None:
                self.book.first(self.book.wrong, _job_of_outcome(key), "its outcome has gone")

    def _look_at_outcome(self, staging: Shelf, key: str, state: State) -> None:
        job_id = _job_of_outcome(key)
        seen = _seen(staging, key, state, self._outcomes.get(key))
        before = self._outcomes.setdefault(key, seen)
        if before.content.sha256 != seen.content.sha256:
            self.book.first(self.book.doubled, job_id, "its outcome changed")
        entry = self.book.entries.get(job_id)
        if entry is None:
            self.book.first(self.book.wrong, job_id, "an outcome of an unknown job")
        elif entry.ended is None:
            entry.ended = time.monotonic()

    def _look_at_object(self, role: str, key: str, state: State) -> None:
        known = self._objects.get((role, key))
        seen = self._objects[role, key] = _seen(self.shelves[role], key, state, known)
        if known is not None and seen.content == known.content:
            return
        where, (job_id, _, name) = f"{role}/{key}", key.partition("/")
        if known is not None:
            self.book.first(self.book.wrong, where, "an object changed")
        if seen.content.infected:
            self.book.first(self.book.wrong, where, "infected bytes are visible")
        entry = self.book.entries.get(job_id)
        if entry is None:
            self.book.first(self.book.wrong, where, "an object of an unknown job")
        elif not entry.upload.may_store:
            self.book.first(self.book.wrong, where, "visible, but must not be")
        if name == RESULT:
            self._look_at_result(role, key, where)
        elif not _stem(name).endswith("-" + seen.content.sha256[:32]):
            self.book.first(self.book.wrong, where, "partial: not the bytes its key names")
        elif entry and entry.upload.verbatim and seen.content.sha256 != entry.upload.sha256:
            self.book.first(self.book.wrong, where, "not the bytes that were uploaded")

    def _look_at_result(self, role: str, key: str, where: str) -> None:
        """A store that has it has all the job's outputs, and its bytes were scanned clean."""
        shelf = self.shelves[role]
        result = json.loads(read(shelf, key))
        made = frozenset(output["key"] for output in result["outputs"].values())
        below = key.removesuffix(RESULT)
        # Asked twice: a scenario may have taken the whole store away in between.
        if made <= set(shelf.states(below)):
            self._stored[below.rstrip("/")] = made | {key}
        elif shelf.states(key) and not made <= set(shelf.states(below)):
            self.book.first(self.book.wrong, where, "a result without all its outputs")
        certificate = result["certificate"] or {}
        if certificate.get("verdict") != "clean":
            self.book.first(self.book.wrong, where, "a result without a clean certificate")

    def _look_at_stream(self) -> None:
        for _, fields in self._redis.xrange(ENDED):
            digests = self._ended.setdefault(fields["id"], set())
            digests.add(fields["digest"])
            if len(digests) > 1:
                self.book.first(self.book.doubled, fields["id"], "ended with two digests")


def _seen(shelf: Shelf, key: str, state: State, known: Seen | None) -> Seen:
    """The object as it is now; it is read only where its state is new."""
    if known is not None and known.state == state:
        return known
    return Seen(state, content_of(shelf, key))


def _job_of_outcome(key: str) -> str:
    return key.removeprefix(OUTCOMES).removesuffix(".json")


def _stem(name: str) -> str:
    return name.rpartition(".")[0] or name
