"""Uploads of which it is known how their jobs must end."""

# ruff: noqa: S311 - chance keeps no secret here
from __future__ import annotations

import hashlib
import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property

from pictures import photograph

from uploadmill.job import JobState
from uploadmill.worker.embedded.eicar import eicar

#: A picture has three outputs, so that something can happen between them.
BOXES = {"thumb": "16x16", "icon": "12x12", "dot": "8x8"}

#: Cheap pipelines, so that thousands of jobs run on two cores.
PIPELINES = {
    "note": {"steps": [{"step": "validate", "types": ["text/plain"]}, "scan"]},
    "tiny": {"steps": ["validate", "scan", {"step": "resize", **BOXES}, "optimize"]},
}

#: So many different pictures; drawing one for each job would cost more than the job.
PICTURES = 8

#: Of a hundred uploads, so many are pictures and the others text.
PICTURES_OF_100 = 15


@dataclass(frozen=True)
class Upload:
    """What is sent, and how its job may end.

    Attributes:
        expected: The states that are right; nearly always one.
        may_store: Whether an object made of it may ever be visible.
    """

    content: bytes
    pipeline: str
    expected: frozenset[JobState]

    @property
    def may_store(self) -> bool:
        return JobState.STORED in self.expected

    @property
    def verbatim(self) -> bool:
        """Whether what is stored are the very bytes that were sent."""
        return self.pipeline != "tiny"

    @cached_property
    def sha256(self) -> str:
        return hashlib.sha256(self.content).hexdigest()


class Corpus:
    """Draws uploads, the same ones for the same seed."""

    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed)

    @cached_property
    def _pictures(self) -> list[bytes]:
        return [photograph(48 + 2 * n, 36) for n in range(PICTURES)]

    def good(self) -> Upload:
        """A text, now and then a picture."""
        if self.random.randrange(100) < PICTURES_OF_100:
            return self.picture()
        return self.text()

    def text(self, words: str = "") -> Upload:
        lines = [f"{words}{self.random.getrandbits(64):x}\n" for _ in range(8)]
        return _upload("".join(lines).encode(), "note", JobState.STORED)

    def large(self, size: int) -> Upload:
        """A text of at least *size* bytes."""
        lines = self.text().content
        return _upload(lines * (size // len(lines) + 1), "note", JobState.STORED)

    def picture(self) -> Upload:
        return _upload(self.random.choice(self._pictures), "tiny", JobState.STORED)

    def infected(self) -> Upload:
        """A text with the test virus in it."""
        return _upload(self.text().content + eicar(), "note", JobState.QUARANTINED)

    def bad(self) -> Upload:
        """Bytes that are neither text nor picture."""
        content = b"\x7fELF\0" + self.random.randbytes(100)
        return _upload(content, "note", JobState.REJECTED)

    def mixed(self, count: int, infected: float = 0.05, bad: float = 0.05) -> Iterator[Upload]:
        """*count* uploads, of which these parts are not good."""
        for _ in range(count):
            drawn = self.random.random()
            if drawn < infected:
                yield self.infected()
            elif drawn < infected + bad:
                yield self.bad()
            else:
                yield self.good()


def _upload(content: bytes, pipeline: str, *expected: JobState) -> Upload:
    return Upload(content, pipeline, frozenset(expected))


def expecting(upload: Upload, states: Sequence[JobState]) -> Upload:
    """The same upload where something will be done to it that changes how it may end."""
    return Upload(upload.content, upload.pipeline, frozenset(states))
