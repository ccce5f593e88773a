"""What a local store keeps beside a file: type, metadata and sha256, tied to one state of it.

A sidecar is named after the key and the file's very state (time of modification and size), and is
on disk before that state becomes visible. So whatever crashes or overtakes whom, bytes are never
seen with the metadata of others: at worst they are seen with none.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import secrets
import time
from dataclasses import asdict, dataclass
from pathlib import Path

from uploadmill.backends.storage.facts import Facts
from uploadmill.backends.storage.keys import RESERVED
from uploadmill.backends.storage.local_folders import ABSENT, folder, open_file

_FOLDER = "meta"

#: The random part of a time of modification: about a millisecond, in nanoseconds.
_JITTER_BITS = 20


@dataclass(frozen=True, slots=True)
class Sidecar:
    """The facts of one state of a file that the file system does not keep."""

    key: str
    facts: Facts


def state_of(facts: os.stat_result) -> str:
    """What tells this state of a file from every other of the same key; also the etag."""
    return f"{facts.st_mtime_ns:x}-{facts.st_size:x}"


def stamp(descriptor: int) -> None:
    """Give a file that is not visible yet a time of modification that no other state has."""
    now = time.time_ns() >> _JITTER_BITS << _JITTER_BITS
    os.utime(descriptor, ns=(now, now | secrets.randbits(_JITTER_BITS)))


def write(root: Path, state: str, sidecar: Sidecar) -> None:
    """Put *sidecar* on disk, for good.

    Raises:
        FileExistsError: The state is taken: stamp the file again.
    """
    segments, name = _place(sidecar.key, state)
    with folder(root, segments, create=True) as descriptor:
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
        file = os.open(name, flags, 0o666, dir_fd=descriptor)
        try:
            with open(file, "wb") as stream:  # noqa: PTH123 (a descriptor)
                stream.write(json.dumps({"key": sidecar.key, **asdict(sidecar.facts)}).encode())
                stream.flush()
                os.fsync(file)
            os.fsync(descriptor)
        except BaseException:
            os.unlink(name, dir_fd=descriptor)
            raise


def read(root: Path, key: str, state: str) -> Sidecar | None:
    """The sidecar of that state; None for a file somebody else put there."""
    segments, name = _place(key, state)
    try:
        with folder(root, segments) as descriptor:
            file = open_file(descriptor, name)
    except ABSENT:
        return None
    with open(file, "rb") as stream, contextlib.suppress(ValueError, TypeError, KeyError):  # noqa: PTH123 (a descriptor)
        document = json.loads(stream.read())
        return Sidecar(document.pop("key"), Facts(**document))
    return None


def remove(root: Path, key: str, state: str) -> None:
    """Forget a state that has gone."""
    segments, name = _place(key, state)
    with contextlib.suppress(OSError), folder(root, segments) as descriptor:
        os.unlink(name, dir_fd=descriptor)


def _place(key: str, state: str) -> tuple[tuple[str, ...], str]:
    """Folder and name of a sidecar; 256 folders keep each of them small."""
    digest = hashlib.sha256(key.encode()).hexdigest()
    return (RESERVED, _FOLDER, digest[:2]), f"{digest[2:42]}-{state}.json"
