"""A store in a folder of the local (or a mounted) file system.

A key is a path below the root. Writes become visible whole, by a link (create-only) or a rename
from the store's own area on the same file system, and are on disk before they are reported. Files
dropped in by hand are objects like any other, of a guessed type and without sha256.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime
from io import FileIO
from pathlib import Path
from typing import Any

from uploadmill.backends.storage import local_sidecar as sidecar
from uploadmill.backends.storage.arguments import Ask, Part, Write
from uploadmill.backends.storage.content_types import type_by_extension
from uploadmill.backends.storage.facts import Facts, facts_of
from uploadmill.backends.storage.features import Feature
from uploadmill.backends.storage.hashing import HashingReader
from uploadmill.backends.storage.keys import check_key, check_prefix
from uploadmill.backends.storage.listing import Page, key_before, paged
from uploadmill.backends.storage.local_errors import translated
from uploadmill.backends.storage.local_folders import ABSENT, folder, look, open_file
from uploadmill.backends.storage.local_incoming import AREA, Incoming, sweep
from uploadmill.backends.storage.local_list import FolderWalk
from uploadmill.backends.storage.local_sidecar import Sidecar, state_of
from uploadmill.backends.storage.local_writing import LocalWriter
from uploadmill.backends.storage.objects import ObjectStat
from uploadmill.backends.storage.reader import ObjectReader
from uploadmill.backends.storage.skeleton import Skeleton
from uploadmill.backends.storage.unfinished import UnfinishedUpload
from uploadmill.errors import (
    ObjectChanged,
    ObjectExists,
    ObjectNotFound,
    StorageUnavailable,
)

_LACKS = {
    Feature.VERSIONS: "a folder keeps no versions",
    Feature.SIGNED_URLS: "a folder has no server that could check a signature",
    Feature.PRESIGNED_UPLOADS: "a folder has no server that could check a signature",
    Feature.ACCESS_LEVELS: "the web server that shows the folder decides who may read",
}

#: How often a read starts again when others overwrite under it.
_TRIES = 20


class LocalStorage(Skeleton):
    """Objects as files below a folder, which is made on first use.

    Args:
        base_path: The folder; links below it are not followed.
        name: The configured name.
        options: Those of every store (:class:`Skeleton`); ``public_url`` is where a web server
            shows the folder, if one does.
    """

    def __init__(self, base_path: Path | str, *, name: str = "local", **options: Any) -> None:
        super().__init__(name, lacks=_LACKS, **options)
        self._root = Path(base_path)
        self._writer = LocalWriter(name, self._root)
        self._prepared = False

    def ping(self) -> None:
        """See :meth:`Storage.ping`; a byte is written and removed again."""
        self._prepare()
        with self._writer.incoming() as incoming:
            incoming.write(b"\0")

    def _write(self, write: Write) -> ObjectStat:
        self._prepare()
        self._refuse_taken(write.key, create_only=write.create_only)
        with self._writer.incoming() as incoming:
            incoming.fill(write.reader)
            write.reader.verify(self.name, write.key, write.sha256)
            facts = replace(write.facts, sha256=write.reader.sha256)
            return self._show(incoming, Sidecar(write.key, facts), create_only=write.create_only)

    @contextmanager
    def _open(self, key: str, part: Part) -> Iterator[ObjectReader]:
        descriptor, stat = self._find(key)
        # A file object knows that it is closed; the number of its descriptor is soon another's.
        with FileIO(descriptor) as file:
            if part.if_match not in (None, stat.etag):
                raise ObjectChanged(self.name, key)
            file.seek(min(part.start, stat.size))
            fetch = translated(self.name)(file.read)
            yield ObjectReader(self.name, stat, part.length_of(stat.size), fetch)

    def _stat(self, key: str) -> ObjectStat:
        descriptor, stat = self._find(key)
        os.close(descriptor)
        return stat

    def _delete(self, keys: tuple[str, ...]) -> None:
        self._prepare()
        for key in keys:
            with translated(self.name), contextlib.suppress(*ABSENT):
                self._writer.remove(key)

    def _delete_state(self, key: str, etag: str) -> None:
        if self._stat(key).etag != etag:
            raise ObjectChanged(self.name, key)
        self._writer.remove_state(key, etag)

    def _copy(self, source: str, target: str, *, create_only: bool) -> ObjectStat:
        self._refuse_taken(target, create_only=create_only)
        with self._open(source, Part()) as stream, self._writer.incoming() as incoming:
            reader = HashingReader(stream)
            incoming.fill(reader)
            reader.verify(self.name, source, stream.stat.sha256)
            facts = replace(facts_of(stream.stat), sha256=reader.sha256)
            return self._show(incoming, Sidecar(target, facts), create_only=create_only)

    def _pages(self, ask: Ask) -> Iterator[Page]:
        walk = FolderWalk(self.name, self._root, ask, key_before(ask.token))
        self._prepare()
        return paged(walk.entries(), ask.limit)

    def unfinished(self, prefix: str = "") -> Iterator[UnfinishedUpload]:
        """See :meth:`KeepsParts.unfinished`: facts on disk whose object never came, or has gone."""
        check_prefix(self.name, prefix)
        self._prepare()
        for shelf in sidecar.SHELVES:
            with translated(self.name):
                lone = [
                    each
                    for each in sidecar.written(self._root, shelf)
                    if each.key.startswith(prefix) and self._state(each.key) != each.id
                ]
            yield from lone

    def abort(self, upload: UnfinishedUpload) -> None:
        """See :meth:`KeepsParts.abort`; the facts of an object that is there stay."""
        check_key(self.name, upload.key)
        with translated(self.name):
            if self._state(upload.key) != upload.id:
                sidecar.remove(self._root, upload.key, upload.id)

    def _prepare(self) -> None:
        """Make the root, once: a root that goes away later is an outage, not an empty store."""
        if self._prepared:
            return
        with translated(self.name):
            self._root.mkdir(parents=True, exist_ok=True)
            with folder(self._root, AREA, create=True) as area:
                sweep(area)
        self._prepared = True

    def _refuse_taken(self, key: str, *, create_only: bool) -> None:
        """Save reading the source where the answer is known; it is decided by the kernel."""
        if create_only:
            with contextlib.suppress(ObjectNotFound):
                self._stat(key)
                raise ObjectExists(self.name, key)

    def _show(self, incoming: Incoming, facts: Sidecar, *, create_only: bool) -> ObjectStat:
        self._writer.show(incoming, facts, create_only=create_only)
        return _object_stat(facts.key, incoming.facts(), facts)

    def _state(self, key: str) -> str | None:
        """The state of the file under a key; None: there is none."""
        *segments, last = key.split("/")
        with contextlib.suppress(*ABSENT), folder(self._root, segments) as descriptor:
            found = look(descriptor, last)
            return None if found is None else state_of(found)
        return None

    def _find(self, key: str) -> tuple[int, ObjectStat]:
        """An open file with the facts of just its state."""
        self._prepare()
        for _ in range(_TRIES):
            with translated(self.name):
                try:
                    descriptor, facts, current = self._find_once(key)
                except ABSENT:
                    raise ObjectNotFound(self.name, key) from None
            if current:
                return descriptor, facts
            os.close(descriptor)
        raise StorageUnavailable(self.name, "an object is overwritten faster than it can be opened")

    def _find_once(self, key: str) -> tuple[int, ObjectStat, bool]:
        """The file, its facts, and whether these are still the facts to find.

        A sidecar goes with its state: not finding it may only mean that the object was
        overwritten between the two looks.
        """
        *segments, last = key.split("/")
        with folder(self._root, segments) as descriptor:
            file = open_file(descriptor, last)
            try:
                opened = os.fstat(file)
                beside = sidecar.read(self._root, key, state_of(opened))
                now = look(descriptor, last)
            except BaseException:
                os.close(file)
                raise
        current = beside is not None or (now is not None and state_of(now) == state_of(opened))
        return file, _object_stat(key, opened, beside), current


def _object_stat(key: str, found: os.stat_result, beside: Sidecar | None) -> ObjectStat:
    facts = beside.facts if beside else Facts(type_by_extension(key))
    return ObjectStat(
        key=key,
        size=found.st_size,
        etag=state_of(found),
        modified=datetime.fromtimestamp(found.st_mtime_ns / 1e9, UTC),
        content_type=facts.content_type,
        metadata=facts.metadata,
        sha256=facts.sha256,
        cache_control=facts.cache_control,
        content_disposition=facts.content_disposition,
    )
