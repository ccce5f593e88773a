"""A store in a folder of the local (or a mounted) file system.

A key is a path below the root. Writes become visible whole, by a link (create-only) or a rename
from the store's own area on the same file system, and are on disk before they are reported. Files
dropped in by hand are objects like any other, of a guessed type and without sha256.
"""

from __future__ import annotations

import contextlib
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

from uploadmill.backends.storage import local_sidecar as sidecar
from uploadmill.backends.storage.arguments import Ask, Part, Write
from uploadmill.backends.storage.facts import Facts, facts_of
from uploadmill.backends.storage.features import Feature
from uploadmill.backends.storage.hashing import HashingReader
from uploadmill.backends.storage.keys import type_by_extension
from uploadmill.backends.storage.listing import Page, key_before, paged
from uploadmill.backends.storage.local_errors import translated
from uploadmill.backends.storage.local_folders import ABSENT, folder, look, open_file, prune
from uploadmill.backends.storage.local_incoming import AREA, Incoming, sweep
from uploadmill.backends.storage.local_list import FolderWalk
from uploadmill.backends.storage.local_sidecar import Sidecar, state_of
from uploadmill.backends.storage.objects import ObjectStat
from uploadmill.backends.storage.reader import ObjectReader
from uploadmill.backends.storage.skeleton import Skeleton
from uploadmill.errors import (
    InvalidKey,
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

#: How often a write or a read starts again when others remove folders or overwrite under it.
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
        self._prepared = False

    def ping(self) -> None:
        """See :meth:`Storage.ping`; a byte is written and removed again."""
        with self._incoming() as incoming:
            incoming.write(b"\0")

    def _write(self, write: Write) -> ObjectStat:
        self._refuse_taken(write.key, create_only=write.create_only)
        with self._incoming() as incoming:
            incoming.fill(write.reader)
            write.reader.verify(self.name, write.key, write.sha256)
            facts = replace(write.facts, sha256=write.reader.sha256)
            return self._show(incoming, Sidecar(write.key, facts), create_only=write.create_only)

    @contextmanager
    def _open(self, key: str, part: Part) -> Iterator[ObjectReader]:
        descriptor, stat = self._find(key)
        try:
            if part.if_match not in (None, stat.etag):
                raise ObjectChanged(self.name, key)
            os.lseek(descriptor, part.start, os.SEEK_SET)
            fetch = translated(self.name)(partial(os.read, descriptor))
            yield ObjectReader(self.name, stat, part.length_of(stat.size), fetch)
        finally:
            os.close(descriptor)

    def _stat(self, key: str) -> ObjectStat:
        descriptor, stat = self._find(key)
        os.close(descriptor)
        return stat

    def _delete(self, keys: tuple[str, ...]) -> None:
        self._prepare()
        for key in keys:
            with translated(self.name), contextlib.suppress(*ABSENT):
                self._remove(key)

    def _delete_state(self, key: str, etag: str) -> None:
        """Remove an object if it has this etag.

        It is taken away first, and looked at then: one that was written since the first look is
        put back, and is missing for that moment.
        """
        if self._stat(key).etag != etag:
            raise ObjectChanged(self.name, key)
        with self._incoming() as incoming:
            taken = self._take(incoming, key)
            if taken != etag:
                self._put_back(incoming, key, taken)
                raise ObjectChanged(self.name, key)
        sidecar.remove(self._root, key, taken)
        prune(self._root, key.split("/")[:-1])

    def _take(self, incoming: Incoming, key: str) -> str:
        """Take an object away, into *incoming*; its state."""
        *segments, last = key.split("/")
        with translated(self.name):
            try:
                with folder(self._root, segments) as descriptor:
                    taken = incoming.take(descriptor, last)
                    os.fsync(descriptor)
            except ABSENT:
                raise ObjectNotFound(self.name, key) from None
        return state_of(taken)

    def _put_back(self, incoming: Incoming, key: str, state: str) -> None:
        """Show an object again that was taken away, unless there is a newer one by now."""
        try:
            with translated(self.name):
                self._publish(incoming, key, create_only=True)
        except ObjectExists:
            sidecar.remove(self._root, key, state)

    def _copy(self, source: str, target: str, *, create_only: bool) -> ObjectStat:
        self._refuse_taken(target, create_only=create_only)
        with self._open(source, Part()) as stream, self._incoming() as incoming:
            reader = HashingReader(stream)
            incoming.fill(reader)
            reader.verify(self.name, source, stream.stat.sha256)
            facts = replace(facts_of(stream.stat), sha256=reader.sha256)
            return self._show(incoming, Sidecar(target, facts), create_only=create_only)

    def _pages(self, ask: Ask) -> Iterator[Page]:
        walk = FolderWalk(self.name, self._root, ask, key_before(ask.token))
        self._prepare()
        return paged(walk.entries(), ask.limit)

    def _prepare(self) -> None:
        """Make the root, once: a root that goes away later is an outage, not an empty store."""
        if self._prepared:
            return
        with translated(self.name):
            self._root.mkdir(parents=True, exist_ok=True)
            with folder(self._root, AREA, create=True) as area:
                sweep(area)
        self._prepared = True

    @contextmanager
    def _incoming(self) -> Iterator[Incoming]:
        """A new file in the store's own area, gone at the end unless it became an object."""
        self._prepare()
        with contextlib.ExitStack() as stack:
            with translated(self.name):
                area = stack.enter_context(folder(self._root, AREA, create=True))
                incoming = Incoming(self.name, area)
            stack.callback(incoming.discard)
            yield incoming

    def _refuse_taken(self, key: str, *, create_only: bool) -> None:
        """Save reading the source when the answer is known; the decision is made in `_show`."""
        if create_only:
            with contextlib.suppress(ObjectNotFound):
                self._stat(key)
                raise ObjectExists(self.name, key)

    def _show(self, incoming: Incoming, facts: Sidecar, *, create_only: bool) -> ObjectStat:
        """Make a written file the object: its sidecar first, then the name."""
        with translated(self.name):
            state = self._write_sidecar(incoming, facts)
        try:
            with translated(self.name):
                self._publish(incoming, facts.key, create_only=create_only)
        except BaseException:
            sidecar.remove(self._root, facts.key, state)
            raise
        return _object_stat(facts.key, incoming.facts(), facts)

    def _write_sidecar(self, incoming: Incoming, facts: Sidecar) -> str:
        """Stamp the file until its state is unique, as it is at once but on coarse clocks."""
        for _ in range(_TRIES):
            sidecar.stamp(incoming.descriptor)
            state = state_of(incoming.facts())
            with contextlib.suppress(FileExistsError):
                sidecar.write(self._root, state, facts)
                os.fsync(incoming.descriptor)
                return state
        raise StorageUnavailable(self.name, "the file system's clock is too coarse")

    def _publish(self, incoming: Incoming, key: str, *, create_only: bool) -> None:
        *segments, last = key.split("/")
        for _ in range(_TRIES):
            try:
                with folder(self._root, segments, create=True) as target:
                    self._link(incoming, target, key, last, create_only=create_only)
                    os.fsync(target)
            except FileNotFoundError:
                # The folder was empty and somebody's delete removed it under us.
                continue
            except NotADirectoryError:
                raise InvalidKey(self.name, key, "a part of it is an object or a link") from None
            return
        raise StorageUnavailable(self.name, "folders vanish as fast as they are made")

    def _link(
        self, incoming: Incoming, target: int, key: str, last: str, *, create_only: bool
    ) -> None:
        """The one step by which a key gets its new content, decided by the kernel."""
        before = look(target, last)
        if before is not None and stat.S_ISDIR(before.st_mode):
            raise InvalidKey(self.name, key, "there are objects below it")
        try:
            incoming.become(target, last, create_only=create_only)
        except FileExistsError:
            raise ObjectExists(self.name, key) from None
        except IsADirectoryError:
            raise InvalidKey(self.name, key, "there are objects below it") from None
        if before is not None:
            sidecar.remove(self._root, key, state_of(before))

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

    def _remove(self, key: str) -> None:
        *segments, last = key.split("/")
        with folder(self._root, segments) as descriptor:
            before = look(descriptor, last)
            if before is None or stat.S_ISDIR(before.st_mode):
                return
            os.unlink(last, dir_fd=descriptor)
            os.fsync(descriptor)
        sidecar.remove(self._root, key, state_of(before))
        prune(self._root, segments)


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
