"""What a storage is: keys and streams, the same on every back end.

The contract in words stands on each method; as a program it is
:mod:`uploadmill.backends.storage.contract`, which every back end and every composite passes.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Literal, Protocol, overload

from uploadmill.backends.storage.features import Access, Feature, PresignedUpload
from uploadmill.backends.storage.listing import Listing
from uploadmill.backends.storage.objects import Folder, ObjectStat
from uploadmill.backends.storage.reader import Reader
from uploadmill.backends.storage.sources import Source


class Storage(Protocol):
    """A store of objects under keys.

    Every method raises :class:`~uploadmill.errors.StorageUnavailable` when the store gives no
    definite answer. Before anything moves it raises :class:`~uploadmill.errors.InvalidKey` for a
    key that could leave the prefix, :class:`~uploadmill.errors.Unsupported` for what this store
    does not have, and a ``TypeError`` or ``ValueError`` that says what to give instead. Methods
    are safe to call from several threads; network clients are made on first use, per process.
    """

    #: The configured name, for messages and records: ``staging``, ``primary``, …
    name: str

    #: What is known, without asking, that this store does not have, and why.
    lacks: Mapping[Feature, str]

    def put(
        self,
        key: str,
        source: Source,
        *,
        content_type: str | None = None,
        metadata: Mapping[str, str] | None = None,
        cache_control: str | None = None,
        content_disposition: str | None = None,
        access: Access | None = None,
        create_only: bool = False,
        sha256: str | None = None,
        max_size: int | None = None,
    ) -> ObjectStat:
        """Write an object; it becomes visible whole or not at all.

        Args:
            key: Inside the prefix.
            source: A path, bytes, a binary file that can seek, or what opens one; never held whole.
            content_type: Found from the content when not given, and from the key's extension
                where the content says nothing definite (:mod:`~.content_types`).
            metadata: The user's own, kept with the object: lower-case ASCII names, any text as
                value, 1.5 kB in all once encoded (:func:`~.headers.check_metadata`).
            cache_control: Served with the object, such as ``public, max-age=31536000``.
            content_disposition: The same; :func:`~.headers.attachment` makes one of a name.
            access: Who may read it; the bucket's own rule when not given.
            create_only: Fail when the key is taken, decided atomically by the store.
            sha256: What the bytes should have; a difference leaves nothing behind.
            max_size: In bytes; a larger source leaves nothing behind.

        Returns:
            The object as written, with its sha256 computed while streaming.

        Raises:
            ObjectExists: *create_only*, and the key is taken.
            IntegrityError: The bytes do not have *sha256*.
            SizeLimitExceeded: The source has more than *max_size* bytes, or than the store takes.
            UnsupportedMedia: The store does not take this extension.
            InvalidKey: Also where the store keeps folders and part of the key is an object.
            Unsupported: Metadata or headers that some store cannot keep; no such access level.
        """

    def open(
        self,
        key: str,
        *,
        start: int = 0,
        length: int | None = None,
        if_match: str | None = None,
        version: str | None = None,
        verify: bool = False,
    ) -> AbstractContextManager[Reader]:
        """Read an object, or *length* bytes from *start*; beyond the end there are none.

        The stream is of one state of the object: overwritten meanwhile, it gives the old bytes
        or raises, and never mixes the two. With *verify*, of the whole only, the bytes are hashed
        on their way, and the last read raises where they are not those that were put.

        Raises:
            ValueError: *start* or *length* is less than 0; from the reader: the ``with`` was left.
            ObjectNotFound: No such object (or version).
            ObjectChanged: Its etag is not *if_match*, or it is overwritten all the time.
            IntegrityError: From the reader, with *verify*: the bytes have another sha256.
            Unsupported: The store keeps no versions; *verify* of a part, or of an object that
                was put by others and has no sha256.
        """

    def read(
        self,
        key: str,
        limit: int,
        *,
        start: int = 0,
        length: int | None = None,
        verify: bool = False,
    ) -> bytes:
        """The bytes of a small object, or of a small part of any, as :meth:`open` takes them.

        Raises:
            ObjectNotFound: No such object.
            SizeLimitExceeded: These are more than *limit* bytes; none were read.
        """

    def download(
        self,
        key: str,
        target: Path | str,
        *,
        start: int = 0,
        length: int | None = None,
        verify: bool = False,
    ) -> ObjectStat:
        """Write an object, or a part of it, to a file, which is replaced when all has arrived.

        Returns:
            The facts of the whole object.

        Raises:
            ObjectNotFound: No such object.
            OSError: The file cannot be written.
        """

    def stat(self, key: str) -> ObjectStat:
        """The facts of an object.

        Raises:
            ObjectNotFound: No such object.
        """

    def exists(self, key: str) -> bool:
        """Whether there is such an object."""

    def delete(self, *keys: str, if_match: str | None = None) -> None:
        """Remove objects, in as few requests as the store allows; a missing one is no error.

        Args:
            keys: Any number of them; with *if_match* one.
            if_match: The etag it must have; S3 is looked at just before, other stores decide it.

        Raises:
            ObjectChanged: Its etag is not *if_match*.
            ValueError: *if_match* with another number of keys than one.
        """

    def delete_many(self, keys: Iterable[str]) -> int:
        """Remove any number of objects as a stream, and say how many keys there were."""

    def copy(self, source: str, target: str, *, create_only: bool = False) -> ObjectStat:
        """Copy inside the store, at any size, with type, headers, metadata and sha256.

        A copy has the access that a new object has.

        Raises:
            ObjectNotFound: No *source*.
            ObjectChanged: *source* was overwritten meanwhile.
            ObjectExists: *create_only*, and *target* is taken.
        """

    def move(self, source: str, target: str, *, create_only: bool = False) -> ObjectStat:
        """Copy, compare size and facts, then delete *source* by its etag; killed, both are there.

        What a server copies itself is not read back; other bytes are hashed on their way.

        Raises:
            ObjectNotFound: No *source*.
            ObjectChanged: *source* was overwritten meanwhile; *target* has the older bytes.
            ObjectExists: *create_only*, and *target* is taken.
            IntegrityError: The copy has another size or other facts; the original stays.
        """

    @overload
    def list(
        self, prefix: str = "", *, limit: int | None = None, token: str | None = None
    ) -> Listing[ObjectStat]: ...

    @overload
    def list(
        self,
        prefix: str = "",
        *,
        delimiter: Literal["/"],
        limit: int | None = None,
        token: str | None = None,
    ) -> Listing[ObjectStat | Folder]: ...

    def list(
        self,
        prefix: str = "",
        *,
        delimiter: Literal["/"] | None = None,
        limit: int | None = None,
        token: str | None = None,
    ) -> Listing[ObjectStat] | Listing[ObjectStat | Folder]:
        """Every object whose key starts with *prefix*, in key order, any number of them.

        Key order is that of code points; but an S3 server may compare folder by folder, and have
        ``a/b`` before ``a-b`` (:class:`~.listing.ListsByFolder`). Composites are in order.
        Objects whose keys are not valid here are left out.

        Args:
            prefix: Whole folders or half a name.
            delimiter: Give one :class:`Folder` for all keys that have this after the prefix.
            limit: Give at most so many entries; the listing's ``token`` says how to go on.
            token: Of an earlier listing of this prefix: go on there.

        Raises:
            ValueError: The token is no token of this store.
        """

    def versions(self, key: str) -> Iterator[ObjectStat]:
        """Every kept state of an object, the newest first; those of a deleted one too.

        Raises:
            Unsupported: The store keeps none.
        """

    def restore(self, key: str, version: str) -> ObjectStat:
        """Make an older version the object again, with all its facts; nothing is lost by it.

        Raises:
            ObjectNotFound: No such version.
            Unsupported: The store keeps none.
        """

    @overload
    def url(self, key: str) -> str | None: ...

    @overload
    def url(self, key: str, *, expires: float, filename: str | None = None) -> str: ...

    def url(
        self, key: str, *, expires: float | None = None, filename: str | None = None
    ) -> str | None:
        """Where to read an object.

        Args:
            key: Of an object that need not be there yet.
            expires: Seconds for which a signed address lasts. Without it: the CDN's or the
                public address, or None where the store has none; never signed.
            filename: What a browser saves it as; signed addresses only.

        Raises:
            Unsupported: *expires*, and the store signs no addresses, or none that last so long.
            ValueError: *expires* is not more than 0, or more than a hundred years.
        """

    def presign_upload(
        self,
        key: str,
        *,
        content_type: str,
        max_size: int,
        min_size: int = 0,
        expires: float = 3600,
    ) -> PresignedUpload:
        """Let a client put one object by itself: this key, type and size, for so many seconds.

        Raises:
            Unsupported: The store cannot enforce all of that.
            UnsupportedMedia: The store does not take this extension.
            ValueError: No upload can have such a size; *expires* as for :meth:`url`.
        """

    def access(self, key: str) -> Access:
        """Who may read an object.

        Raises:
            ObjectNotFound: No such object.
            Unsupported: The store has no access levels of single objects, or refuses them to us.
        """

    def set_access(self, key: str, access: Access) -> None:
        """Change who may read an object.

        Raises:
            ObjectNotFound: No such object.
            Unsupported: The store has no access levels of single objects, or refuses them to us.
        """

    def ping(self) -> None:
        """Answer within seconds, or raise :class:`~uploadmill.errors.StorageUnavailable`."""

    def close(self) -> None:
        """Give back this process's connections; the store stays usable."""
