"""Whether a store is worth a call: a circuit breaker as those who call stores see it.

The state that all processes share lives in Redis (:mod:`uploadmill.backends.ledger.breaker`).
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol

from uploadmill.errors import ObjectChanged, ObjectExists, ObjectNotFound, StorageUnavailable

log = logging.getLogger("uploadmill.storage")

#: What a call is told that was not made because of the others that failed.
NOT_ASKED = "it failed repeatedly and is not asked for now"


class Circuit(StrEnum):
    """How it stands with a store."""

    CLOSED = "closed"  # it is asked
    OPEN = "open"  # it is not
    HALF_OPEN = "half-open"  # one caller finds out


@dataclass(frozen=True, slots=True)
class Admission:
    """Whether a call may be made.

    Attributes:
        allowed: Whether it may.
        probe: Names the one caller that finds out whether the store is back; else empty.
    """

    allowed: bool
    probe: str = ""


class Breaker(Protocol):
    """The breaker of one store. No method raises, whatever its state lives in."""

    def enter(self) -> Admission:
        """Ask before a call; who is admitted tells how it went."""

    def succeeded(self, admission: Admission) -> None:
        """The store answered."""

    def failed(self, admission: Admission, error: StorageUnavailable) -> None:
        """The store did not; one that refuses us is given up at once."""

    def unsure(self, admission: Admission) -> None:
        """The call ended, and nobody learned of the store."""


class AlwaysClosed:
    """A breaker that never opens: for stores that nobody watches."""

    def enter(self) -> Admission:
        """See :meth:`Breaker.enter`."""
        return Admission(allowed=True)

    def succeeded(self, admission: Admission) -> None:
        """See :meth:`Breaker.succeeded`."""

    def failed(self, admission: Admission, error: StorageUnavailable) -> None:
        """See :meth:`Breaker.failed`."""

    def unsure(self, admission: Admission) -> None:
        """See :meth:`Breaker.unsure`."""


ALWAYS_CLOSED = AlwaysClosed()

#: Gives a store's breaker by the store's name.
Breakers = Callable[[str], Breaker]


def unwatched(store: str) -> Breaker:  # noqa: ARG001 (all stores alike)
    """No store has a breaker."""
    return ALWAYS_CLOSED


@contextmanager
def admitted(breaker: Breaker, store: str) -> Iterator[None]:
    """Around one call of a store: made only if the breaker lets it, which hears how it went.

    Raises:
        StorageUnavailable: The call is not to be made. Another store may be asked.
    """
    admission = breaker.enter()
    if not admission.allowed:
        raise StorageUnavailable(store, NOT_ASKED, retry_here=False)
    try:
        yield
    except StorageUnavailable as error:
        breaker.failed(admission, error)
        if not error.retry_here:
            # Nothing that passes by itself: somebody has to look at it.
            log.error("store_broken", extra={"store": store, "reason": error.reason})  # noqa: TRY400
        raise
    except (ObjectNotFound, ObjectExists, ObjectChanged):
        breaker.succeeded(admission)
        raise
    except BaseException:
        # A broken source, a wrong argument, a process that is to end.
        breaker.unsure(admission)
        raise
    breaker.succeeded(admission)
