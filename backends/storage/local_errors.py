"""What the file system's errors say about a local store."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager

from uploadmill.errors import StorageUnavailable

#: What passes or another moment cures; every other error of a file system asks for somebody.
_PASSING = frozenset(
    {errno.EIO, errno.EAGAIN, errno.EINTR, errno.ESTALE, errno.ETIMEDOUT, errno.EMFILE}
    | {errno.ENFILE, errno.EBUSY, errno.ENOMEM, errno.ENOBUFS}
)


@contextmanager
def translated(store: str) -> Iterator[None]:
    """What the file system raises, as :class:`StorageUnavailable` without paths."""
    try:
        yield
    except OSError as error:
        reason = os.strerror(error.errno) if error.errno else type(error).__name__
        raise StorageUnavailable(store, reason, retry_here=error.errno in _PASSING) from error
