"""The commit's failover: all outputs on the primary, or all of them on the secondary."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from uploadmill.backends.storage.attempts import USUAL, Attempts, Timing
from uploadmill.backends.storage.base import Storage
from uploadmill.backends.storage.breaker import Breakers, unwatched
from uploadmill.backends.storage.hashing import HashingReader
from uploadmill.backends.storage.objects import ObjectStat
from uploadmill.backends.storage.sources import Source
from uploadmill.errors import IntegrityError, ObjectExists, ObjectNotFound, StorageUnavailable
from uploadmill.job import Placement

log = logging.getLogger("uploadmill.storage")


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


#: Told of each object that was put, or may have been: role and key.
OnPut = Callable[[Placement, str], None]


def place(
    outputs: Sequence[Output],
    primary: Storage,
    secondary: Storage,
    *,
    breakers: Breakers = unwatched,
    timing: Timing = USUAL,
) -> Placed:
    """Put all *outputs* into *primary*, or, when that is unavailable, all into *secondary*.

    Args:
        outputs: What to put; a job's outputs fail over together.
        primary: Is given three attempts, within limits of time; none while its breaker is open.
        secondary: The same.
        breakers: By the stores' names.
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

    def put_all(role: Placement, store: Storage) -> Placed:
        attempts = Attempts(store.name, breakers(store.name), timing)
        stats = _Placing(role, store, note, attempts).put_all(outputs)
        return Placed(role, stats, tuple(put))

    try:
        return put_all(Placement.PRIMARY, primary)
    except StorageUnavailable as error:
        log.warning("failed_over", extra={"store": primary.name, "reason": error.reason})
    # Now that the error has gone, and with it the request whose body it held.
    return put_all(Placement.SECONDARY, secondary)


class _Placing:
    """The placing of one commit's outputs at one store."""

    def __init__(self, role: Placement, store: Storage, on_put: OnPut, attempts: Attempts) -> None:
        self._role = role
        self._store = store
        self._on_put = on_put
        self._attempts = attempts

    def put_all(self, outputs: Sequence[Output]) -> dict[str, ObjectStat]:
        return {
            output.key: self._attempts.call(lambda output=output: self._put(output))  # type: ignore[misc]
            for output in outputs
        }

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
