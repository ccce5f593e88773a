"""Where bytes come from: what can be read from its beginning, again and again."""

from __future__ import annotations

import io
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import BinaryIO, Protocol

#: Bytes moved at a time, everywhere. 1 MiB keeps system calls rare and memory flat.
CHUNK = 1 << 20


class Readable(Protocol):
    """Anything that gives bytes by pieces: a binary file, or a store's :class:`Reader`."""

    def read(self, size: int, /) -> bytes:
        """At most *size* bytes; ``b""`` only at the end."""


#: Gives the bytes from their beginning, anew at each call, to be used in a ``with``.
#: ``lambda: store.open(key)`` is one, so an object moves from store to store as a stream.
Opener = Callable[[], AbstractContextManager[Readable]]

#: Where bytes come from. It must be possible to read them again: an attempt may fail half way.
#: A file object is read from its position and must be seekable.
Source = Path | bytes | BinaryIO | Opener


def opener(source: Source) -> Opener:
    """A function that gives *source* from its beginning, each time for one ``with``.

    A file object that was passed in is read from where it stood, and stays open.
    """
    if isinstance(source, bytes):
        return lambda: io.BytesIO(source)
    if isinstance(source, Path):
        return lambda: source.open("rb")
    if callable(source):
        return source
    start = source.tell()

    def again() -> AbstractContextManager[Readable]:
        source.seek(start)
        return nullcontext(source)

    return again
