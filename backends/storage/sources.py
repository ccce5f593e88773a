"""Where bytes come from: what can be read from its beginning, again and again."""

from __future__ import annotations

import inspect
import io
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any, BinaryIO, NoReturn, Protocol

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
Source = Path | bytes | bytearray | memoryview | BinaryIO | Opener


def opener(source: Source) -> Opener:
    """A function that gives *source* from its beginning, each time for one ``with``.

    A file object that was passed in is read from where it stood, and stays open.

    Raises:
        TypeError: It is nothing that gives bytes, or that can be read again; says what to give.
    """
    if isinstance(source, bytes | bytearray | memoryview):
        # As they are now: an attempt that is repeated must not find others.
        held = bytes(source)
        return lambda: io.BytesIO(held)
    if isinstance(source, Path):
        return lambda: source.open("rb")
    if callable(source) and not isinstance(source, type):
        return _opening(source)
    file = _checked_file(source)
    start = file.tell()

    def again() -> AbstractContextManager[Readable]:
        file.seek(start)
        return nullcontext(file)

    return again


def _opening(source: Opener) -> Opener:
    """*source*, whose results have been looked at."""

    def again() -> AbstractContextManager[Readable]:
        stream: Any = source()
        if not hasattr(stream, "__exit__"):
            _refuse(stream, "an opener gives what a 'with' can open, such as path.open('rb')")
        return stream  # type: ignore[no-any-return]

    return again


def _checked_file(source: Any) -> BinaryIO:
    """*source*, if it is a binary file that can be read again.

    Raises:
        TypeError: Says what to give instead.
    """
    if isinstance(source, str):
        _refuse(source, "a path is a Path(…), and text has to be encoded: .encode()")
    if isinstance(source, io.TextIOBase):
        _refuse(source, "open it for bytes: 'rb'")
    if inspect.iscoroutinefunction(getattr(source, "read", None)):
        _refuse(source, "it is read asynchronously; give the file inside it, such as .file")
    if not all(hasattr(source, name) for name in ("read", "seek", "tell")):
        _refuse(source, "give a Path, bytes, a binary file, or a function that opens one")
    if not getattr(source, "seekable", lambda: True)():
        _refuse(source, "it cannot be read again; write it to a temporary file first")
    return source  # type: ignore[no-any-return]


def _refuse(source: object, remedy: str) -> NoReturn:
    raise TypeError(f"no source of bytes: {type(source).__name__}; {remedy}")
