"""Files while they are written, in the store's own area: no key and no list reaches them there."""

from __future__ import annotations

import contextlib
import logging
import os
import secrets
import time

from uploadmill.backends.storage.keys import RESERVED
from uploadmill.backends.storage.local_errors import translated
from uploadmill.backends.storage.local_folders import look
from uploadmill.backends.storage.sources import CHUNK, Readable

log = logging.getLogger("uploadmill.storage")

#: The area: on the file system of the objects, so that a rename moves a file out of it.
AREA = (RESERVED, "incoming")

#: Seconds after which a file there is what a killed process left: a day.
_LEFT_BEHIND = 86_400.0

#: What the name of a file begins with that takes the place of an object: it is never swept.
TAKEN = "taken-"


class Incoming:
    """A file being written, or in whose place an object is taken away.

    Args:
        store: Its name, for messages.
        area: An open descriptor of the area.
        prefix: What its name begins with.
    """

    def __init__(self, store: str, area: int, prefix: str = "") -> None:
        self._store = store
        self._area = area
        self._name = prefix + secrets.token_hex(16)
        self._is_taken = False
        flags = os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
        self.descriptor = os.open(self._name, flags, 0o666, dir_fd=area)

    def fill(self, stream: Readable) -> None:
        """Write all of *stream*; what reading it raises passes as it is."""
        while chunk := stream.read(CHUNK):
            self.write(chunk)

    def write(self, chunk: bytes) -> None:
        """Write all of *chunk*."""
        with translated(self._store):
            left = memoryview(chunk)
            while left:
                left = left[os.write(self.descriptor, left) :]

    def facts(self) -> os.stat_result:
        """What the file system says of it now."""
        return os.fstat(self.descriptor)

    def become(self, target: int, name: str, *, create_only: bool) -> None:
        """Appear as *name* in the folder *target*; create-only never replaces anything."""
        places = {"src_dir_fd": self._area, "dst_dir_fd": target}
        if create_only:
            os.link(self._name, name, **places, follow_symlinks=False)
        else:
            os.replace(self._name, name, **places)  # noqa: PTH105 (between descriptors)

    def take(self, source: int, name: str) -> os.stat_result:
        """Take the file *name* out of the folder *source*, in place of what was written here.

        It is kept, whatever happens, until :meth:`forget` is called.

        Raises:
            FileNotFoundError: There is none.
            NotADirectoryError: It is a folder, and stays where it is.
        """
        os.replace(name, self._name, src_dir_fd=source, dst_dir_fd=self._area)
        self._is_taken = True
        return os.stat(self._name, dir_fd=self._area, follow_symlinks=False)

    def forget(self) -> None:
        """What was taken may go: it was to be deleted, or is an object again."""
        self._is_taken = False

    def discard(self) -> None:
        """Let go; the file itself goes too where it has no other name."""
        os.close(self.descriptor)
        if self._is_taken:
            log.error("object_not_put_back", extra={"store": self._store, "file": self._name})
            return
        with contextlib.suppress(OSError):
            os.unlink(self._name, dir_fd=self._area)


def sweep(area: int) -> None:
    """Remove what killed processes left in the store's own area, but no object among it."""
    for name in os.listdir(area):
        facts = None if name.startswith(TAKEN) else look(area, name)
        if facts is not None and time.time() - facts.st_mtime > _LEFT_BEHIND:
            with contextlib.suppress(OSError):
                os.unlink(name, dir_fd=area)
