"""The commit's failover: all outputs on the primary, or all of them on the secondary."""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from uploadmill.backends.storage.base import ObjectStat, Source, Storage
from uploadmill.backends.storage.hashing import HashingReader
from uploadmill.errors import IntegrityError, ObjectExists, ObjectNotFound, StorageUnavailable
from uploadmill.job import Placement

#: How often one store is asked for all of a commit's outputs together, the first time included.
ATTEMPTS = 3

#: Seconds of the longest pause before each further attempt; the pause is drawn between 0 and it.
PAUSES = (0.1, 0.4)

#: Seconds one commit may lose to a store's failing calls and to pauses before it gives it up.
PATIENCE = 8.0


@dataclass(frozen=True, slots=True)
class Output:
    """Something to be put: its key is made of its sha256, so the same key is the same bytes.

    Attributes:
        key: In either store.
        source: The bytes, readable again.
        content_type: As stored.
        sha256: In hex, of the bytes.
        size: In bytes.
        metadata: Kept with the object.
    """

    key: str
    source: Source
    content_type: str
    sha256: str
    size: int
    metadata: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Placed:
    """Where the outputs are now.

    Attributes:
        role: The store that has all of them.
        stats: By key, as they lie there.
        put: What this call put, or may have put, in either store; not what was there already.
    """

    role: Placement
    stats: Mapping[str, ObjectStat]
    put: Sequence[tuple[Placement, str]]


@dataclass(frozen=True, slots=True)
class Timing:
    """Clock, sleep and chance; tests bring their own."""

    clock: Callable[[], float] = time.monotonic
    sleep: Callable[[float], None] = time.sleep
    chance: Callable[[], float] = random.random


#: Told of each object that was put, or may have been: role and key.
OnPut = Callable[[Placement, str], None]


def place(
    outputs: Sequence[Output],
    primary: Storage,
    secondary: Storage,
    *,
    timing: Timing = Timing(),
) -> Placed:
    """Put all *outputs* into *primary*, or, when that is unavailable, all into *secondary*.

    Args:
        outputs: What to put; a job's outputs fail over together.
        primary: Is given three attempts, within limits of time.
        secondary: The same.
        timing: For tests.

    Raises:
        StorageUnavailable: Neither store took all of them.
        IntegrityError: Other bytes lie under an output's key, or a source is not what it should
            be. Nothing is overwritten.
    """
    put: list[tuple[Placement, str]] = []

    def note(role: Placement, key: str) -> None:
        if (role, key) not in put:
            put.append((role, key))

    try:
        role = Placement.PRIMARY
        stats = _Attempts(role, primary, note, timing).put_all(outputs)
    except StorageUnavailable:
        role = Placement.SECONDARY
        stats = _Attempts(role, secondary, note, timing).put_all(outputs)
    return Placed(role, stats, tuple(put))


class _Attempts:
    """The attempts of one commit at one store: all outputs draw on the same few."""

    def __init__(self, role: Placement, store: Storage, on_put: OnPut, timing: Timing) -> None:
        self._role = role
        self._store = store
        self._on_put = on_put
        self._timing = timing
        self._left = list(PAUSES)
        self._lost = 0.0

    def put_all(self, outputs: Sequence[Output]) -> dict[str, ObjectStat]:
        return {output.key: self._put_patiently(output) for output in outputs}

    def _put_patiently(self, output: Output) -> ObjectStat:
        """Put one output, again after a failure while there are attempts and time left."""
        while True:
            began = self._timing.clock()
            try:
                return self._put(output)
            except StorageUnavailable as error:
                self._lost += self._timing.clock() - began
                if not (error.retry_here and self._may_go_on()):
                    raise

    def _may_go_on(self) -> bool:
        """Pause before the next attempt, if there is one."""
        if not self._left:
            return False
        pause = self._left.pop(0) * self._timing.chance()
        self._lost += pause
        if self._lost >= PATIENCE:
            return False
        self._timing.sleep(pause)
        return True

    def _put(self, output: Output) -> ObjectStat:
        """Put one output, or find the very same bytes there."""
        try:
            stat = self._store.put(
                output.key,
                output.source,
                content_type=output.content_type,
                metadata=output.metadata,
                create_only=True,
                sha256=output.sha256,
            )
        except ObjectExists:
            return _same(self._store, output)
        except StorageUnavailable as error:
            # A timeout does not say that nothing was written; a refusal does.
            if error.retry_here:
                self._on_put(self._role, output.key)
            raise
        self._on_put(self._role, output.key)
        return stat


def _same(store: Storage, output: Output) -> ObjectStat:
    """The object under the output's key, which has the output's bytes.

    Raises:
        IntegrityError: It has others.
        StorageUnavailable: It has just gone; another attempt finds the key free.
    """
    try:
        stat = store.stat(output.key)
        sha256 = stat.sha256 or _read_sha256(store, output.key)
    except ObjectNotFound as error:
        raise StorageUnavailable(store.name, "an object is there and then is not") from error
    if (sha256, stat.size) != (output.sha256, output.size):
        raise IntegrityError(store.name, output.key, "other bytes lie under this key")
    return stat


def _read_sha256(store: Storage, key: str) -> str:
    """The sha256 of an object that has been put by others."""
    with store.open(key) as stream:
        reader = HashingReader(stream)
        reader.drain()
    return reader.sha256
