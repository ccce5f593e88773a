"""What a storage is: keys and streams, the same on every back end.

The contract in words stands on each method; as a program it is
:mod:`uploadmill.backends.storage.contract`, which every back end and every composite passes.
"""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import BinaryIO, Protocol, runtime_checkable

#: Bytes moved at a time, everywhere. 1 MiB keeps system calls rare and memory flat.
CHUNK = 1 << 20


class Readable(Protocol):
    """Anything that gives bytes by pieces: a binary file, or a store's :class:`Reader`."""

    def read(self, size: int, /) -> bytes:
        """At most *size* bytes; ``b""`` only at the end."""


#: Gives the bytes from their beginning, anew at each call, to be used in a ``with``.
#: ``lambda: store.open(key)`` is one, so an object moves from store to store as a stream.
Opener = Callable[[], AbstractContextManager[Readable]]

#: Where bytes come from. It must be possible to read them again: an attempt may fail half way.
#: A file object is read from its position and must be seekable.
Source = Path | bytes | BinaryIO | Opener


@dataclass(frozen=True, slots=True)
class ObjectStat:
    """What a store knows of an object.

    Attributes:
        key: Inside the store's prefix.
        size: In bytes.
        etag: Changes whenever the bytes change; compare it, never interpret it.
        modified: By the store's clock, aware.
        content_type: None from ``list`` where the store does not list it.
        metadata: The user's own; empty from ``list`` where the store does not list it.
        sha256: Hex, as computed by uploadmill when it wrote the object; None for others'
            objects, and from ``list`` where the store does not list it.
        version: Where the store keeps versions.
    """

    key: str
    size: int
    etag: str
    modified: datetime
    content_type: str | None = None
    metadata: Mapping[str, str] = field(default_factory=dict)
    sha256: str | None = None
    version: str | None = None


class Reader(Protocol):
    """An open object: a stream with the facts of just that state of the object."""

    @property
    def stat(self) -> ObjectStat:
        """Of the object that is being read (the whole, also when reading a range)."""

    def read(self, size: int, /) -> bytes:
        """At most *size* bytes; ``b""`` only at the end.

        Raises:
            StorageUnavailable: The connection broke, or the body ended, before the announced end.
        """


class Storage(Protocol):
    """A store of objects under keys.

    Every method raises :class:`~uploadmill.errors.StorageUnavailable` when the store gives no
    definite answer and :class:`~uploadmill.errors.InvalidKey`, before anything moves, for a key
    that could leave the prefix. Methods are safe to call from several threads; network clients
    are made on first use, per process.
    """

    #: The configured name, for messages and records: ``staging``, ``primary``, …
    name: str

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
        """Write an object; it becomes visible whole or not at all.

        Args:
            key: Inside the prefix.
            source: The bytes; read as a stream, never held whole.
            content_type: Found from the key's extension when not given.
            metadata: The user's own, kept with the object: lower-case ASCII names, any text as
                value, 1.5 kB in all once encoded (:func:`~.keys.check_metadata`).
            create_only: Fail when the key is taken, decided atomically by the store.
            sha256: What the bytes should have; a difference leaves nothing behind.
            max_size: In bytes; a larger source leaves nothing behind.

        Returns:
            The object as written, with its sha256 computed while streaming.

        Raises:
            ObjectExists: *create_only*, and the key is taken.
            IntegrityError: The bytes do not have *sha256*.
            SizeLimitExceeded: The source has more than *max_size* bytes.
            InvalidKey: Also where the store keeps folders and part of the key is an object.
            Unsupported: Metadata or a content type that cannot be kept everywhere.
        """

    def open(
        self,
        key: str,
        *,
        start: int = 0,
        length: int | None = None,
        if_match: str | None = None,
        version: str | None = None,
    ) -> AbstractContextManager[Reader]:
        """Read an object, or *length* bytes from *start*; beyond the end there are none.

        The stream is of one state of the object. Where it is overwritten meanwhile, reading
        goes on with the old bytes or raises; it never mixes the two.

        Raises:
            ObjectNotFound: No such object (or version).
            ObjectChanged: Its etag is not *if_match*.
        """

    def stat(self, key: str) -> ObjectStat:
        """The facts of an object.

        Raises:
            ObjectNotFound: No such object.
        """

    def delete(self, *keys: str) -> None:
        """Remove objects, in as few requests as the store allows; a missing one is no error."""

    def copy(self, source: str, target: str, *, create_only: bool = False) -> ObjectStat:
        """Copy inside the store, with content type, metadata and sha256, at any size.

        Raises:
            ObjectNotFound: No *source*.
            ObjectChanged: *source* was overwritten meanwhile.
            ObjectExists: *create_only*, and *target* is taken.
        """

    def list(self, prefix: str = "") -> Iterator[ObjectStat]:
        """Every object whose key starts with *prefix*, in key order, any number of them.

        Key order is that of code points. Some S3 servers compare folder by folder instead, so
        ``a/b`` may come before ``a-b``; everything else is in the same order everywhere.
        Objects whose keys are not valid here are left out: nothing could be done with them.
        """

    def url(self, key: str) -> str | None:
        """The public address of an object, or None where the store has none. Never signed."""

    def ping(self) -> None:
        """Answer within seconds, or raise :class:`~uploadmill.errors.StorageUnavailable`."""


@dataclass(frozen=True, slots=True)
class UnfinishedUpload:
    """An upload by parts that was begun and neither completed nor aborted.

    Attributes:
        key: Of the object it would have become.
        id: The store's name for it.
        begun: By the store's clock, aware.
    """

    key: str
    id: str
    begun: datetime


@runtime_checkable
class KeepsParts(Protocol):
    """A storage in which the parts of a killed upload stay, unseen and paid for."""

    def unfinished(self, prefix: str = "") -> Iterator[UnfinishedUpload]:
        """Every unfinished upload to a key that starts with *prefix*."""

    def abort(self, upload: UnfinishedUpload) -> None:
        """Forget an upload and its parts; one that has gone is no error."""


def opener(source: Source) -> Opener:
    """A function that gives *source* from its beginning, each time for one ``with``.

    A file object that was passed in is read from where it stood, and stays open.
    """
    if isinstance(source, bytes):
        return lambda: io.BytesIO(source)
    if isinstance(source, Path):
        return lambda: source.open("rb")
    if callable(source):
        return source
    start = source.tell()

    def again() -> AbstractContextManager[Readable]:
        source.seek(start)
        return nullcontext(source)

    return again
