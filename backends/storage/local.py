"""A store in a folder of the local (or a mounted) file system.

A key is a path below the root. Writes become visible whole, by a link (create-only) or a rename
from the store's own area on the same file system, and are on disk before they are reported. Files
dropped in by hand are objects like any other, of a guessed type and without sha256.
"""

from __future__ import annotations

import contextlib
import os
import secrets
import stat
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

from uploadmill.backends.storage import sidecar
from uploadmill.backends.storage.arguments import Ask, Part, Write
from uploadmill.backends.storage.facts import Facts, facts_of
from uploadmill.backends.storage.features import Feature
from uploadmill.backends.storage.folders import (
    ABSENT,
    entries,
    folder,
    is_passing,
    look,
    open_file,
    prune,
)
from uploadmill.backends.storage.hashing import HashingReader
from uploadmill.backends.storage.keys import RESERVED, is_key, type_by_extension
from uploadmill.backends.storage.listing import Entry, Page, key_before, paged
from uploadmill.backends.storage.objects import Folder, ObjectStat
from uploadmill.backends.storage.reader import ObjectReader
from uploadmill.backends.storage.sidecar import Sidecar, state_of
from uploadmill.backends.storage.skeleton import Skeleton
from uploadmill.backends.storage.sources import CHUNK, Readable
from uploadmill.errors import (
    InvalidKey,
    ObjectChanged,
    ObjectExists,
    ObjectNotFound,
    StorageUnavailable,
)

#: Where files are written before they become objects.
_INCOMING = (RESERVED, "incoming")

#: Seconds after which a file there is what a killed process left: a day.
_LEFT_BEHIND = 86_400.0

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
            fetch = _translated(self.name)(partial(os.read, descriptor))
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
            with _translated(self.name), contextlib.suppress(*ABSENT):
                self._remove(key)

    def _copy(self, source: str, target: str, *, create_only: bool) -> ObjectStat:
        self._refuse_taken(target, create_only=create_only)
        with self._open(source, Part()) as stream, self._incoming() as incoming:
            reader = HashingReader(stream)
            incoming.fill(reader)
            reader.verify(self.name, source, stream.stat.sha256)
            facts = replace(facts_of(stream.stat), sha256=reader.sha256)
            return self._show(incoming, Sidecar(target, facts), create_only=create_only)

    def _pages(self, ask: Ask) -> Iterator[Page]:
        after = key_before(ask.token)
        self._prepare()
        entries = self._walk(tuple(ask.prefix.split("/")[:-1]), ask, after)
        return paged(entries, ask.limit)

    def _prepare(self) -> None:
        """Make the root, once: a root that goes away later is an outage, not an empty store."""
        if self._prepared:
            return
        with _translated(self.name):
            self._root.mkdir(parents=True, exist_ok=True)
            with folder(self._root, _INCOMING, create=True) as descriptor:
                _sweep(descriptor)
        self._prepared = True

    @contextmanager
    def _incoming(self) -> Iterator[_Incoming]:
        """A new file in the store's own area, gone at the end unless it became an object."""
        self._prepare()
        with contextlib.ExitStack() as stack:
            with _translated(self.name):
                area = stack.enter_context(folder(self._root, _INCOMING, create=True))
                incoming = _Incoming(self.name, area)
            stack.callback(incoming.discard)
            yield incoming

    def _refuse_taken(self, key: str, *, create_only: bool) -> None:
        """Save reading the source when the answer is known; the decision is made in `_show`."""
        if create_only:
            with contextlib.suppress(ObjectNotFound):
                self._stat(key)
                raise ObjectExists(self.name, key)

    def _show(self, incoming: _Incoming, facts: Sidecar, *, create_only: bool) -> ObjectStat:
        """Make a written file the object: its sidecar first, then the name."""
        with _translated(self.name):
            state = self._write_sidecar(incoming, facts)
        try:
            with _translated(self.name):
                self._publish(incoming, facts.key, create_only=create_only)
        except BaseException:
            sidecar.remove(self._root, facts.key, state)
            raise
        return _object_stat(facts.key, incoming.facts(), facts)

    def _write_sidecar(self, incoming: _Incoming, facts: Sidecar) -> str:
        """Stamp the file until its state is unique, as it is at once but on coarse clocks."""
        for _ in range(_TRIES):
            sidecar.stamp(incoming.descriptor)
            state = state_of(incoming.facts())
            with contextlib.suppress(FileExistsError):
                sidecar.write(self._root, state, facts)
                os.fsync(incoming.descriptor)
                return state
        raise StorageUnavailable(self.name, "the file system's clock is too coarse")

    def _publish(self, incoming: _Incoming, key: str, *, create_only: bool) -> None:
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
        self, incoming: _Incoming, target: int, key: str, last: str, *, create_only: bool
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
            with _translated(self.name):
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

    def _walk(self, segments: tuple[str, ...], ask: Ask, after: str) -> Iterator[Entry]:
        """The entries below a folder in key order, one folder in memory at a time."""
        with _translated(self.name):
            found = entries(self._root, segments)
        for name, facts in found:
            key = "/".join((*segments, name))
            if stat.S_ISREG(facts.st_mode):
                if key > after and key.startswith(ask.prefix) and is_key(key):
                    yield _listed(key, facts)
            elif stat.S_ISDIR(facts.st_mode) and is_key(key):
                yield from self._walk_folder((*segments, name), ask, after)

    def _walk_folder(self, segments: tuple[str, ...], ask: Ask, after: str) -> Iterator[Entry]:
        """The entries that a folder stands for: itself, what is in it, or nothing."""
        key = "/".join((*segments, ""))
        if ask.folders and key.startswith(ask.prefix) and key != ask.prefix:
            if key > after and any(self._walk(segments, replace(ask, folders=False), "")):
                yield Folder(key)
        elif _may_hold(key, ask.prefix) and (key > after or after.startswith(key)):
            yield from self._walk(segments, ask, after)


class _Incoming:
    """A file being written in the store's own area, where no key and no list reaches it."""

    def __init__(self, store: str, area: int) -> None:
        self._store = store
        self._area = area
        self._name = secrets.token_hex(16)
        flags = os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
        self.descriptor = os.open(self._name, flags, 0o666, dir_fd=area)

    def fill(self, stream: Readable) -> None:
        """Write all of *stream*; what reading it raises passes as it is."""
        while chunk := stream.read(CHUNK):
            self.write(chunk)

    def write(self, chunk: bytes) -> None:
        with _translated(self._store):
            left = memoryview(chunk)
            while left:
                left = left[os.write(self.descriptor, left) :]

    def facts(self) -> os.stat_result:
        return os.fstat(self.descriptor)

    def become(self, target: int, name: str, *, create_only: bool) -> None:
        """Appear as *name* in the folder *target*; create-only never replaces anything."""
        places = {"src_dir_fd": self._area, "dst_dir_fd": target}
        if create_only:
            os.link(self._name, name, **places, follow_symlinks=False)
        else:
            os.replace(self._name, name, **places)  # noqa: PTH105 (between descriptors)

    def discard(self) -> None:
        """Let go; the file itself goes too where it has no other name."""
        os.close(self.descriptor)
        with contextlib.suppress(OSError):
            os.unlink(self._name, dir_fd=self._area)


@contextmanager
def _translated(store: str) -> Iterator[None]:
    """What the file system raises, as :class:`StorageUnavailable` without paths."""
    try:
        yield
    except OSError as error:
        reason = os.strerror(error.errno) if error.errno else type(error).__name__
        raise StorageUnavailable(store, reason, retry_here=is_passing(error)) from error


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


def _listed(key: str, facts: os.stat_result) -> ObjectStat:
    modified = datetime.fromtimestamp(facts.st_mtime_ns / 1e9, UTC)
    return ObjectStat(key=key, size=facts.st_size, etag=state_of(facts), modified=modified)


def _may_hold(folder_prefix: str, prefix: str) -> bool:
    """Whether a folder can hold keys that start with *prefix*."""
    return folder_prefix.startswith(prefix) or prefix.startswith(folder_prefix)


def _sweep(descriptor: int) -> None:
    """Remove what killed processes left in the store's own area."""
    for name in os.listdir(descriptor):
        facts = look(descriptor, name)
        if facts is not None and time.time() - facts.st_mtime > _LEFT_BEHIND:
            with contextlib.suppress(OSError):
                os.unlink(name, dir_fd=descriptor)
