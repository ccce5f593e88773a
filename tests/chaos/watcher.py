"""Looks at the stores all through a scenario, behind the product's back.

What it sees is a violation whenever it sees it, not only at the end: an object of infected bytes,
a half written one, a result without its outputs, an outcome that changed, two ends of one job.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import redis

from chaos.book import Book
from uploadmill.backends.storage.keys import RESERVED

#: Seconds between two looks.
PAUSE = 0.25

OUTPUT_STORES = ("primary", "secondary")
RESULT = "result.json"


@dataclass(frozen=True)
class Seen:
    """A state of a file; ``sha256`` was read when it was first seen."""

    state: tuple[int, int, int]
    sha256: str


class Watcher(threading.Thread):
    """Watches local stores below *folder*, and the stream of ended jobs.

    Args:
        folder: Holds a folder for each store.
        redis_url: The ledger itself, past any proxy.
        book: Where violations go.
    """

    def __init__(self, folder: Path, redis_url: str, book: Book) -> None:
        super().__init__(name="watcher", daemon=True)
        self.folder = folder
        self.book = book
        self.looks = 0
        self._redis = redis.Redis.from_url(redis_url, decode_responses=True, socket_timeout=1)
        self._objects: dict[Path, Seen] = {}
        self._outcomes: dict[str, Seen] = {}
        self._ended: dict[str, set[str]] = {}
        self._stopped = threading.Event()

    def run(self) -> None:
        while not self._stopped.wait(PAUSE):
            self.look()

    @staticmethod
    def now() -> float:
        return time.monotonic()

    def stop(self) -> None:
        """Look once more, and end."""
        self._stopped.set()
        self.join()
        self.look()
        self._redis.close()

    def look(self) -> None:
        self._look_at_outcomes()
        for role in OUTPUT_STORES:
            for path in files_below(self.folder / role):
                with contextlib.suppress(FileNotFoundError):
                    self._look_at_object(role, path)
        with contextlib.suppress(redis.RedisError):
            self._look_at_stream()
        self.looks += 1

    @property
    def _staging_is_there(self) -> bool:
        return (self.folder / "staging" / "outcomes").is_dir()

    def _look_at_outcomes(self) -> None:
        there = set()
        if not self._staging_is_there:
            return
        for path in files_below(self.folder / "staging" / "outcomes"):
            job_id = path.name.removesuffix(".json")
            there.add(job_id)
            seen = look_at(path, self._outcomes.get(job_id))
            before = self._outcomes.setdefault(job_id, seen)
            if before.sha256 != seen.sha256:
                self.book.first(self.book.doubled, job_id, "its outcome changed")
            entry = self.book.entries.get(job_id)
            if entry is None:
                self.book.first(self.book.wrong, job_id, "an outcome of an unknown job")
            elif entry.ended is None:
                entry.ended = time.monotonic()
        for job_id in self._outcomes.keys() - there if self._staging_is_there else ():
            if self.book.entries[job_id].outlasting is None:
                self.book.first(self.book.wrong, job_id, "its outcome has gone")

    def _look_at_object(self, role: str, path: Path) -> None:
        known = self._objects.get(path)
        seen = look_at(path, known)
        if known is not None and seen.sha256 == known.sha256:
            return
        self._objects[path] = seen
        where = f"{role}/{path.parent.name}/{path.name}"
        if known is not None:
            self.book.first(self.book.wrong, where, "an object changed")
        entry = self.book.entries.get(path.parent.name)
        if entry is None:
            self.book.first(self.book.wrong, where, "an object of an unknown job")
        elif not entry.upload.may_store:
            self.book.first(self.book.wrong, where, "visible, but must not be")
        if path.name == RESULT:
            self._look_at_result(role, path, where)
        elif not path.stem.endswith("-" + seen.sha256[:32]):
            self.book.first(self.book.wrong, where, "partial: not the bytes its key names")
        elif entry and entry.upload.verbatim and seen.sha256 != entry.upload.sha256:
            self.book.first(self.book.wrong, where, "not the bytes that were uploaded")

    def _look_at_result(self, role: str, path: Path, where: str) -> None:
        """A store that has it has all the job's outputs, and its bytes were scanned clean."""
        result = json.loads(path.read_bytes())
        for output in result["outputs"].values():
            made = self.folder / role / output["key"]
            # Asked twice: a scenario may have taken the whole store away in between.
            if not made.exists() and path.exists() and not made.exists():
                self.book.first(self.book.wrong, where, "a result without all its outputs")
        certificate = result["certificate"] or {}
        if certificate.get("verdict") != "clean":
            self.book.first(self.book.wrong, where, "a result without a clean certificate")

    def _look_at_stream(self) -> None:
        for _, fields in self._redis.xrange("um:ended"):
            digests = self._ended.setdefault(fields["id"], set())
            digests.add(fields["digest"])
            if len(digests) > 1:
                self.book.first(self.book.doubled, fields["id"], "ended with two digests")


def look_at(path: Path, known: Seen | None) -> Seen:
    """The file as it is now; it is read only where its state is new."""
    facts = path.stat()
    state = (facts.st_ino, facts.st_mtime_ns, facts.st_size)
    if known is not None and known.state == state:
        return known
    with path.open("rb") as file:
        return Seen(state, hashlib.file_digest(file, "sha256").hexdigest())


def files_below(folder: Path) -> Iterator[Path]:
    """Every object of a local store; what the store keeps for itself is left out."""
    for at, folders, names in os.walk(folder):
        if RESERVED in folders:
            folders.remove(RESERVED)
        yield from (Path(at) / name for name in names)
