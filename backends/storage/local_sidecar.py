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
from datetime import UTC, datetime
from pathlib import Path

from uploadmill.backends.storage.facts import Facts
from uploadmill.backends.storage.keys import RESERVED
from uploadmill.backends.storage.local_folders import ABSENT, folder, open_file
from uploadmill.backends.storage.local_incoming import Incoming
from uploadmill.backends.storage.unfinished import UnfinishedUpload

_FOLDER = "meta"

#: The folders of the sidecars: 256 of them keep each small.
SHELVES = tuple(f"{number:02x}" for number in range(256))

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


def document(sidecar: Sidecar) -> bytes:
    """A sidecar as it stands in its file."""
    return json.dumps({"key": sidecar.key, **asdict(sidecar.facts)}).encode()


def show(root: Path, written: Incoming, key: str, state: str) -> None:
    """Put a sidecar, written and on disk, in the place where it is looked for.

    Raises:
        FileExistsError: The state is taken: stamp the file again.
    """
    segments, name = _place(key, state)
    with folder(root, segments, create=True) as descriptor:
        written.become(descriptor, name, create_only=True)
        os.fsync(descriptor)


def read(root: Path, key: str, state: str) -> Sidecar | None:
    """The sidecar of that state; None for a file somebody else put there."""
    segments, name = _place(key, state)
    with contextlib.suppress(*ABSENT), folder(root, segments) as descriptor:
        return _read(descriptor, name)
    return None


def remove(root: Path, key: str, state: str) -> None:
    """Forget a state that has gone."""
    segments, name = _place(key, state)
    with contextlib.suppress(OSError), folder(root, segments) as descriptor:
        os.unlink(name, dir_fd=descriptor)


def written(root: Path, shelf: str) -> list[UnfinishedUpload]:
    """The sidecars on one of the :data:`SHELVES`, each as what it is until its object is there."""
    with contextlib.suppress(*ABSENT), folder(root, (RESERVED, _FOLDER, shelf)) as descriptor:
        names = os.listdir(descriptor)  # noqa: PTH208 (of a descriptor)
        return [each for name in names if (each := _unfinished(descriptor, name)) is not None]
    return []


def _unfinished(descriptor: int, name: str) -> UnfinishedUpload | None:
    """A sidecar of an open shelf; None where that is none, or has gone."""
    with contextlib.suppress(*ABSENT):
        begun = os.stat(name, dir_fd=descriptor, follow_symlinks=False).st_mtime
        sidecar = _read(descriptor, name)
        if sidecar is not None:
            moment = datetime.fromtimestamp(begun, UTC)
            return UnfinishedUpload(sidecar.key, _state_in(name), moment)
    return None


def _read(descriptor: int, name: str) -> Sidecar | None:
    """What is in the file *name* of an open folder; None where that is no sidecar."""
    file = open_file(descriptor, name)
    with open(file, "rb") as stream, contextlib.suppress(ValueError, TypeError, KeyError):  # noqa: PTH123 (a descriptor)
        document = json.loads(stream.read())
        return Sidecar(document.pop("key"), Facts(**document))
    return None


def _place(key: str, state: str) -> tuple[tuple[str, ...], str]:
    """Folder and name of a sidecar."""
    digest = hashlib.sha256(key.encode()).hexdigest()
    return (RESERVED, _FOLDER, digest[:2]), f"{digest[2:42]}-{state}.json"


def _state_in(name: str) -> str:
    """The state in a sidecar's name."""
    return name.partition("-")[2].removesuffix(".json")
