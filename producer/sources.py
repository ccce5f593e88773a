"""What a web app may hand over as an upload, made readable for a store."""

from __future__ import annotations

import inspect
import io
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import SpooledTemporaryFile
from typing import Any, BinaryIO, cast

from uploadmill.backends.storage.hashing import HashingReader
from uploadmill.backends.storage.sources import CHUNK, Source

#: A path, the bytes, or a file object opened for binary reading, read from its position. The
#: upload objects of Django, Starlette and FastAPI are taken as they are.
Upload = str | os.PathLike[str] | bytes | BinaryIO | Any

#: Longest file name and media type that a job carries, in characters.
MAX_NAME = 1024
MAX_TYPE = 255


@contextmanager
def readable(upload: Upload, max_size: int) -> Iterator[Source]:
    """*upload* as something that a store can read twice.

    A stream that cannot be rewound goes through a temporary file first.

    Raises:
        SizeLimitExceeded: Such a stream has more than *max_size* bytes.
        TypeError: *upload* cannot be read as bytes.
    """
    if isinstance(upload, bytes):
        yield upload
    elif isinstance(upload, str | os.PathLike):
        yield Path(upload)
    else:
        file = _file_of(upload)
        if _can_rewind(file):
            yield file
        else:
            with SpooledTemporaryFile(max_size=CHUNK) as spool:
                reader = HashingReader(file, max_size)
                while chunk := reader.read(CHUNK):
                    spool.write(chunk)
                spool.seek(0)
                yield cast("BinaryIO", spool)


def name_of(upload: Upload) -> str | None:
    """The file name that *upload* brings along, without folders; None when it has none."""
    if isinstance(upload, os.PathLike):
        upload = os.fspath(upload)
    name = upload if isinstance(upload, str) else getattr(upload, "filename", None)
    name = name or getattr(upload, "name", None)
    return re.split(r"[/\\]", name)[-1] or None if isinstance(name, str) else None


def type_of(upload: Upload) -> str | None:
    """The media type that the client declared, where *upload* is a framework's object."""
    declared = getattr(upload, "content_type", None)
    return declared if isinstance(declared, str) else None


def fitting(text: str | None, limit: int) -> str | None:
    """*text* as a job can carry it: of a client's name or type nothing is demanded."""
    return text if text is None else text.encode("utf-8", "replace").decode()[:limit]


def _can_rewind(file: Any) -> bool:
    """Whether the file says so: a WSGI server's body has no such method at all."""
    seekable = getattr(file, "seekable", None)
    return callable(seekable) and bool(seekable())


def _file_of(upload: Any) -> BinaryIO:
    """The binary file in *upload*; Starlette's upload objects read asynchronously themselves."""
    read = getattr(upload, "read", None)
    if inspect.iscoroutinefunction(read):
        upload = getattr(upload, "file", None)
        read = getattr(upload, "read", None)
    if not callable(read) or isinstance(upload, io.TextIOBase):
        raise TypeError(
            f"cannot upload a {type(upload).__name__}: "
            "give a path, bytes, or a file opened for binary reading"
        )
    return cast("BinaryIO", upload)
