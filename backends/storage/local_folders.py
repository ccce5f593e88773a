"""Walk a local store's folders by descriptors, so that no link can lead out of its root."""

from __future__ import annotations

import contextlib
import errno
import os
import stat
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC

#: Non-blocking: opening a named pipe somebody put there must not hang.
_FILE = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC

#: "There is nothing of that name", as the walk finds out: no entry, or a file or a link in the way.
ABSENT = (FileNotFoundError, NotADirectoryError)


class RootGone(OSError):
    """The root itself cannot be opened: an outage, and no answer about any key."""


@contextmanager
def folder(root: Path, segments: Sequence[str], *, create: bool = False) -> Iterator[int]:
    """An open descriptor of the folder *segments* below *root*; links are not followed.

    Raises:
        FileNotFoundError: It is not there, and *create* is False.
        NotADirectoryError: A file or a link is in the way.
        RootGone: The root cannot be opened.
    """
    try:
        descriptor = os.open(root, _FOLDER)
    except OSError as error:
        raise RootGone(error.errno, error.strerror) from error
    try:
        for segment in segments:
            inner = _step(descriptor, segment, create=create)
            os.close(descriptor)
            descriptor = inner
        yield descriptor
    finally:
        os.close(descriptor)


def _step(descriptor: int, segment: str, *, create: bool) -> int:
    """Open the folder *segment* inside an open one."""
    try:
        return _enter(descriptor, segment)
    except FileNotFoundError:
        if not create:
            raise
    with contextlib.suppress(FileExistsError):
        os.mkdir(segment, dir_fd=descriptor)
        os.fsync(descriptor)
    return _enter(descriptor, segment)


def _enter(descriptor: int, segment: str) -> int:
    try:
        return os.open(segment, _FOLDER | os.O_NOFOLLOW, dir_fd=descriptor)
    except OSError as error:
        # Systems disagree about what a link is called here: ELOOP, EMLINK or ENOTDIR.
        if error.errno in (errno.ELOOP, errno.EMLINK):
            raise NotADirectoryError(errno.ENOTDIR, "a link is in the way") from error
        raise


def open_file(descriptor: int, name: str) -> int:
    """An open descriptor of the regular file *name*.

    Raises:
        FileNotFoundError: There is none; a link, folder or pipe of that name is none.
    """
    try:
        file = os.open(name, _FILE, dir_fd=descriptor)
    except OSError as error:
        if error.errno in (errno.ELOOP, errno.EMLINK, errno.ENXIO, errno.EISDIR):
            raise FileNotFoundError(errno.ENOENT, "not a regular file") from error
        raise
    if not stat.S_ISREG(os.fstat(file).st_mode):
        os.close(file)
        raise FileNotFoundError(errno.ENOENT, "not a regular file")
    return file


def look(descriptor: int, name: str) -> os.stat_result | None:
    """What the file system says of *name*, a link itself and not its target; None if absent."""
    try:
        return os.stat(name, dir_fd=descriptor, follow_symlinks=False)
    except FileNotFoundError:
        return None


def prune(root: Path, segments: Sequence[str]) -> None:
    """Remove the folders *segments* below *root*, innermost first, as far as they are empty."""
    with contextlib.suppress(OSError):
        for depth in range(len(segments), 0, -1):
            with folder(root, segments[: depth - 1]) as outer:
                os.rmdir(segments[depth - 1], dir_fd=outer)


def entries(root: Path, segments: Sequence[str]) -> list[tuple[str, os.stat_result]]:
    """Files and folders in a folder, in key order: a folder's name counts with its slash.

    A folder that has gone meanwhile is empty. No descriptor stays open.
    """
    try:
        with folder(root, segments) as descriptor:
            found = [
                (name, facts)
                for name in os.listdir(descriptor)  # noqa: PTH208 (of a descriptor)
                if (facts := look(descriptor, name)) is not None
            ]
    except ABSENT:
        return []
    return sorted(found, key=lambda entry: entry[0] + "/" * stat.S_ISDIR(entry[1].st_mode))
