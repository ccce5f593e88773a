"""A store in this process's memory: for tests and trials, with the whole contract."""

from __future__ import annotations

import builtins
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from itertools import count

from uploadmill.backends.storage.base import CHUNK, ObjectStat, Source, opener
from uploadmill.backends.storage.hashing import HashingReader
from uploadmill.backends.storage.keys import (
    check_key,
    check_metadata,
    check_prefix,
    content_type_for,
    public_address,
)
from uploadmill.errors import ObjectChanged, ObjectExists, ObjectNotFound


@dataclass(frozen=True, slots=True)
class _Facts:
    """What stays with the bytes when they are copied."""

    content_type: str
    metadata: Mapping[str, str]
    sha256: str


@dataclass(frozen=True, slots=True)
class _Object:
    stat: ObjectStat
    content: bytes
    facts: _Facts


class MemoryReader:
    """A part of one state of an object; overwriting the key does not touch it."""

    def __init__(self, stat: ObjectStat, content: memoryview) -> None:
        self.stat = stat
        self._left = content

    def read(self, size: int, /) -> bytes:
        """At most *size* bytes; ``b""`` only at the end."""
        if size < 0:
            raise ValueError("say how many bytes to read")
        chunk, self._left = self._left[:size], self._left[size:]
        return bytes(chunk)


class MemoryStorage:
    """Objects in a dictionary, gone with the process.

    Args:
        name: The configured name.
        public_url: What :meth:`url` puts before keys.
    """

    def __init__(self, name: str = "memory", *, public_url: str | None = None) -> None:
        self.name = name
        self._public_url = public_url
        self._objects: dict[str, _Object] = {}
        self._lock = threading.Lock()
        self._states = count(1)

    def put(
        self,
        key: str,
        source: Source,
        *,
        content_type: str | None = None,
        metadata: Mapping[str, str] | None = None,
        create_only: bool = False,
        sha256: str | None = None,
        max_size: int | None = None,
    ) -> ObjectStat:
        """See :meth:`Storage.put`."""
        check_key(self.name, key)
        check_metadata(self.name, key, metadata or {})
        kind = content_type_for(self.name, key, content_type)
        content = bytearray()
        with opener(source)() as stream:
            reader = HashingReader(stream, max_size)
            while chunk := reader.read(CHUNK):
                content += chunk
        reader.verify(self.name, key, sha256)
        facts = _Facts(kind, dict(metadata or {}), reader.sha256)
        return self._keep(key, bytes(content), facts, create_only=create_only)

    @contextmanager
    def open(
        self,
        key: str,
        *,
        start: int = 0,
        length: int | None = None,
        if_match: str | None = None,
        version: str | None = None,
    ) -> Iterator[MemoryReader]:
        """See :meth:`Storage.open`."""
        found = self._find(key)
        if version is not None:
            raise ObjectNotFound(self.name, key, "this store keeps no versions")
        if if_match not in (None, found.stat.etag):
            raise ObjectChanged(self.name, key)
        end = None if length is None else start + length
        yield MemoryReader(found.stat, memoryview(found.content)[start:end])

    def stat(self, key: str) -> ObjectStat:
        """See :meth:`Storage.stat`."""
        return self._find(key).stat

    def delete(self, *keys: str) -> None:
        """See :meth:`Storage.delete`."""
        for key in keys:
            check_key(self.name, key)
        with self._lock:
            for key in keys:
                self._objects.pop(key, None)

    def copy(self, source: str, target: str, *, create_only: bool = False) -> ObjectStat:
        """See :meth:`Storage.copy`."""
        check_key(self.name, target)
        found = self._find(source)
        return self._keep(target, found.content, found.facts, create_only=create_only)

    def list(self, prefix: str = "") -> Iterator[ObjectStat]:
        """See :meth:`Storage.list`."""
        check_prefix(self.name, prefix)
        return iter(self._sorted(prefix))

    def url(self, key: str) -> str | None:
        """See :meth:`Storage.url`."""
        check_key(self.name, key)
        return public_address(self._public_url, key)

    def ping(self) -> None:
        """See :meth:`Storage.ping`."""

    def _find(self, key: str) -> _Object:
        check_key(self.name, key)
        try:
            return self._objects[key]
        except KeyError:
            raise ObjectNotFound(self.name, key) from None

    def _keep(self, key: str, content: bytes, facts: _Facts, *, create_only: bool) -> ObjectStat:
        """Make an object visible, at once and whole."""
        stat = ObjectStat(
            key=key,
            size=len(content),
            etag=f"{next(self._states):x}",
            modified=datetime.now(UTC),
            content_type=facts.content_type,
            metadata=facts.metadata,
            sha256=facts.sha256,
        )
        with self._lock:
            if create_only and key in self._objects:
                raise ObjectExists(self.name, key)
            self._objects[key] = _Object(stat, content, facts)
        return stat

    def _sorted(self, prefix: str) -> builtins.list[ObjectStat]:
        with self._lock:
            objects = [item.stat for key, item in self._objects.items() if key.startswith(prefix)]
        bare = (replace(stat, content_type=None, metadata={}, sha256=None) for stat in objects)
        return sorted(bare, key=lambda stat: stat.key)
