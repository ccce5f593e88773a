"""Attempts at stores: few, with pauses by chance, and bounded in time."""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TypeVar

from uploadmill.backends.storage.breaker import Breaker, admitted
from uploadmill.errors import StorageUnavailable

#: Seconds of the longest pause before each further attempt; the pause is drawn between 0 and it,
#: so that those who failed together do not come back together. Three attempts in all.
PAUSES = (0.1, 0.4)

#: Seconds that may be lost to failing calls and to pauses before a store is given up. A store
#: that says nothing takes four (S3, Google Cloud Storage, Azure) for each call.
PATIENCE = 8.0

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Timing:
    """Clock, sleep and chance; tests bring their own."""

    clock: Callable[[], float] = time.monotonic
    sleep: Callable[[float], None] = time.sleep
    chance: Callable[[], float] = random.random


USUAL = Timing()


class Patience:
    """What is left of the pauses and of the time for one undertaking.

    Args:
        timing: For tests.
        pauses: One before each attempt after the first, in seconds at most.
    """

    def __init__(self, timing: Timing, pauses: Sequence[float] = PAUSES) -> None:
        self._timing = timing
        self._left = list(pauses)
        self._lost = 0.0

    @contextmanager
    def losing(self) -> Iterator[None]:
        """Around a call: only time that brought nothing counts."""
        began = self._timing.clock()
        try:
            yield
        except StorageUnavailable:
            self._lost += self._timing.clock() - began
            raise

    def goes_on(self) -> bool:
        """Pause before the next attempt, if there is one."""
        if not self._left:
            return False
        pause = self._left.pop(0) * self._timing.chance()
        self._lost += pause
        if self._lost >= PATIENCE:
            return False
        self._timing.sleep(pause)
        return True


class Attempts:
    """The attempts of one undertaking at one store: all its calls draw on the same few.

    Args:
        store: The store's name.
        breaker: Asked before each call.
        timing: For tests.
    """

    def __init__(self, store: str, breaker: Breaker, timing: Timing) -> None:
        self._store = store
        self._breaker = breaker
        self._patience = Patience(timing)

    def call(self, action: Callable[[], T]) -> T:
        """What *action* returns, repeated while that makes sense.

        Raises:
            StorageUnavailable: The store was given up, or is not to be asked at all.
        """
        while True:
            try:
                with self._patience.losing(), admitted(self._breaker, self._store):
                    return action()
            except StorageUnavailable as error:
                if not (error.retry_here and self._patience.goes_on()):
                    raise
