"""A pace that healing keeps, so that those who store uploads hardly notice it."""

from __future__ import annotations

import time
from collections.abc import Callable

from uploadmill.backends.storage.sources import Readable


class Pace:
    """So many of something a second, evenly.

    Args:
        per_second: How many.
        clock: For tests.
        sleep: For tests.
    """

    def __init__(
        self,
        per_second: float,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._per_second = per_second
        self._clock = clock
        self._sleep = sleep
        self._free = 0.0

    def spend(self, count: float) -> None:
        """Use *count*; returns when what was used before has been paid for by time."""
        now = self._clock()
        if self._free > now:
            self._sleep(self._free - now)
        self._free = max(now, self._free) + count / self._per_second


class PacedReader:
    """A stream that gives its bytes at the pace."""

    def __init__(self, stream: Readable, pace: Pace) -> None:
        self._stream = stream
        self._pace = pace

    def read(self, size: int, /) -> bytes:
        """At most *size* bytes; ``b""`` only at the end."""
        chunk = self._stream.read(size)
        self._pace.spend(len(chunk))
        return chunk
