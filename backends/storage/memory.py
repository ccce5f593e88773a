"""A store in this process's memory: for tests and trials, with the whole contract."""

from __future__ import annotations

import io
import threading
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from itertools import count, groupby
from typing import Any

from uploadmill.backends.storage.arguments import Ask, Part, Write
from uploadmill.backends.storage.facts import Facts
from uploadmill.backends.storage.features import Access, Feature
from uploadmill.backends.storage.listing import Entry, Page, key_before, paged
from uploadmill.backends.storage.objects import Folder, ObjectStat
from uploadmill.backends.storage.reader import ObjectReader
from uploadmill.backends.storage.skeleton import Skeleton
from uploadmill.backends.storage.sources import CHUNK
from uploadmill.errors import ObjectChanged, ObjectExists, ObjectNotFound


@dataclass(frozen=True, slots=True)
class _Object:
    stat: ObjectStat
    content: bytes
    facts: Facts
    access: Access


class MemoryStorage(Skeleton):
    """Objects in a dictionary, gone with the process.

    Args:
        name: The configured name.
        versions: Whether older states of objects are kept.
        options: Those of every store (:class:`Skeleton`).
    """

    def __init__(self, name: str = "memory", *, versions: bool = False, **options: Any) -> None:
        unserved = "nobody serves a process's memory"
        lacks = {Feature.SIGNED_URLS: unserved, Feature.PRESIGNED_UPLOADS: unserved}
        if not versions:
            lacks[Feature.VERSIONS] = "it was opened without versions=True"
        super().__init__(name, lacks=lacks, **options)
        self._objects: dict[str, _Object] = {}
        self._older: defaultdict[str, list[_Object]] = defaultdict(list)
        self._keeps_versions = versions
        self._lock = threading.Lock()
        self._states = count(1)

    def ping(self) -> None:
        """See :meth:`Storage.ping`."""

    def _write(self, write: Write) -> ObjectStat:
        content = bytearray()
        while chunk := write.reader.read(CHUNK):
            content += chunk
        write.reader.verify(self.name, write.key, write.sha256)
        facts = replace(write.facts, sha256=write.reader.sha256)
        access = write.access or Access.PRIVATE
        return self._keep(write.key, bytes(content), facts, access, create_only=write.create_only)

    @contextmanager
    def _open(self, key: str, part: Part) -> Iterator[ObjectReader]:
        found = self._find(key) if part.version is None else self._find_version(key, part.version)
        if part.if_match not in (None, found.stat.etag):
            raise ObjectChanged(self.name, key)
        # Shares the bytes; overwriting the key does not touch them.
        stream = io.BytesIO(found.content)
        stream.seek(min(part.start, found.stat.size))
        length = part.length_of(found.stat.size)
        yield ObjectReader(self.name, _told(found.stat), length, stream.read)

    def _stat(self, key: str) -> ObjectStat:
        return _told(self._find(key).stat)

    def _delete(self, keys: tuple[str, ...]) -> None:
        with self._lock:
            for key in keys:
                self._retire(key)

    def _delete_state(self, key: str, etag: str) -> None:
        with self._lock:
            if self._find(key).stat.etag != etag:
                raise ObjectChanged(self.name, key)
            self._retire(key)

    def _copy(self, source: str, target: str, *, create_only: bool) -> ObjectStat:
        found = self._find(source)
        return self._keep(
            target, found.content, found.facts, Access.PRIVATE, create_only=create_only
        )

    def _pages(self, ask: Ask) -> Iterator[Page]:
        return paged(self._walk(ask, key_before(ask.token)), ask.limit)

    def _walk(self, ask: Ask, after: str) -> Iterator[Entry]:
        with self._lock:
            found = [item.stat for key, item in self._objects.items() if key.startswith(ask.prefix)]
        found.sort(key=lambda stat: stat.key)
        for segment, stats in groupby(found, key=lambda stat: _segment(stat.key, ask)):
            if segment > after and segment.endswith("/"):
                yield Folder(segment)
            elif segment > after:
                yield from map(_bare, stats)

    def _versions(self, key: str) -> Iterator[ObjectStat]:
        self._must_have(Feature.VERSIONS, key)
        return (_told(each.stat) for each in reversed(self._kept(key)))

    def _restore(self, key: str, version: str) -> ObjectStat:
        self._must_have(Feature.VERSIONS, key)
        found = self._find_version(key, version)
        return self._keep(key, found.content, found.facts, found.access, create_only=False)

    def _access(self, key: str) -> Access:
        return self._find(key).access

    def _set_access(self, key: str, access: Access) -> None:
        with self._lock:
            self._objects[key] = replace(self._find(key), access=access)

    def _find(self, key: str) -> _Object:
        try:
            return self._objects[key]
        except KeyError:
            raise ObjectNotFound(self.name, key) from None

    def _find_version(self, key: str, version: str) -> _Object:
        for each in self._kept(key):
            if each.stat.version == version:
                return each
        raise ObjectNotFound(self.name, key, "no such version")

    def _keep(
        self, key: str, content: bytes, facts: Facts, access: Access, *, create_only: bool
    ) -> ObjectStat:
        """Make an object visible, at once and whole."""
        state = f"{next(self._states):x}"
        stat = ObjectStat(
            key=key,
            size=len(content),
            etag=state,
            modified=datetime.now(UTC),
            content_type=facts.content_type,
            metadata=facts.metadata,
            sha256=facts.sha256,
            version=state if self._keeps_versions else None,
            cache_control=facts.cache_control,
            content_disposition=facts.content_disposition,
        )
        with self._lock:
            if create_only and key in self._objects:
                raise ObjectExists(self.name, key)
            before = self._objects.get(key)
            # In one step: who reads meanwhile finds the one or the other, never none.
            self._objects[key] = _Object(stat, content, facts, access)
            self._keep_older(key, before)
        return _told(stat)

    def _retire(self, key: str) -> None:
        """Take an object away, under the lock."""
        self._keep_older(key, self._objects.pop(key, None))

    def _keep_older(self, key: str, before: _Object | None) -> None:
        """Keep what an object was, under the lock, where versions are kept."""
        if before is not None and self._keeps_versions:
            self._older[key].append(before)

    def _kept(self, key: str) -> list[_Object]:
        """Every state of an object, the oldest first."""
        with self._lock:
            return [*self._older[key], *filter(None, [self._objects.get(key)])]


def _segment(key: str, ask: Ask) -> str:
    """The entry that stands for *key* in a list: itself, or the folder it is in."""
    folder, slash, _ = key[len(ask.prefix) :].partition("/")
    return f"{ask.prefix}{folder}/" if ask.folders and slash else key


def _told(stat: ObjectStat) -> ObjectStat:
    """The facts for somebody who may do with them what he likes."""
    return replace(stat, metadata=dict(stat.metadata))


def _bare(stat: ObjectStat) -> ObjectStat:
    """What a list says of an object."""
    return ObjectStat(stat.key, stat.size, stat.etag, stat.modified)
