"""Bodies of requests that are in memory, given to the network by pieces."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

#: Bytes given at a time. What is given as one must be gone within one time-out of 3 or 4 s; a part
#: of 8 MiB would ask 2.8 MB/s of the network. In pieces of 16 kB a large object is much work.
PIECE = 256 << 10


class Body:
    """Buffers one after another; none of them is copied.

    It can be sent again, as it is when a token turns out to be too old.
    """

    def __init__(self, *buffers: bytes | bytearray | memoryview) -> None:
        self._buffers = buffers

    def __len__(self) -> int:
        return sum(map(len, self._buffers))

    def __iter__(self) -> Iterator[Any]:
        for buffer in self._buffers:
            view = memoryview(buffer)
            for start in range(0, len(view), PIECE):
                yield view[start : start + PIECE]
