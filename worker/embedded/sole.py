"""One environment in a folder at a time: two would write over each other's ledger and settings."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from uploadmill.errors import EmbeddedServerFailed

#: The file that is locked, with the process id of who locked it. It stays: one that was deleted
#: could be locked by two, each with a file of its own.
LOCK = "lock"


@contextmanager
def sole_use(folder: Path) -> Iterator[None]:
    """Keep *folder* for this process while the block lasts, or until it ends, however it ends.

    Raises:
        EmbeddedServerFailed: Another one has it.
    """
    with (folder / LOCK).open("a+") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            lock.seek(0)
            reason = f"{folder} is in use by process {lock.read()}: stop it, or take another folder"
            raise EmbeddedServerFailed("environment", reason) from None
        lock.truncate(0)
        lock.write(str(os.getpid()))
        lock.flush()
        yield
