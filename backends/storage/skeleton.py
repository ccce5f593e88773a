"""What all back ends do alike: look at the arguments, then hand over to their own part."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterable, Iterator, Mapping
from contextlib import AbstractContextManager, closing, contextmanager, suppress
from typing import Any, Literal

from uploadmill.backends.storage.addresses import check_lasting, insist, public_address
from uploadmill.backends.storage.arguments import Ask, Part, Write, ask, only
from uploadmill.backends.storage.content_types import HEAD, content_type_of
from uploadmill.backends.storage.derived import Derived
from uploadmill.backends.storage.etags import is_etag
from uploadmill.backends.storage.facts import Facts
from uploadmill.backends.storage.features import Access, Feature, PresignedUpload
from uploadmill.backends.storage.hashing import HashingReader, VerifiedReader
from uploadmill.backends.storage.headers import check_content_type
from uploadmill.backends.storage.keys import check_key, check_keys
from uploadmill.backends.storage.limits import Limits
from uploadmill.backends.storage.listing import Page, PagedListing
from uploadmill.backends.storage.objects import ObjectStat
from uploadmill.backends.storage.reader import ObjectReader, Reader
from uploadmill.backends.storage.sources import Source, opener
from uploadmill.backends.storage.terms import check_put, disposition, level
from uploadmill.errors import ObjectChanged, ObjectExists, ObjectNotFound, Unsupported
from uploadmill.store_url import check_public


class Skeleton(Derived):
    """A back end but for the part that only it knows: the methods with an underscore.

    Args:
        name: The configured name.
        lacks: What the back end does not have, and why.
        public_url: Where the store itself shows its objects to the world.
        cdn_url: Where a CDN does; wins over *public_url*.
        allowed_extensions: That keys to be put must end in; None: any.
        max_file_size: In bytes; None: any.
    """

    def __init__(
        self,
        name: str,
        *,
        lacks: Mapping[Feature, str] | None = None,
        public_url: str | None = None,
        cdn_url: str | None = None,
        allowed_extensions: Iterable[str] | None = None,
        max_file_size: int | None = None,
    ) -> None:
        self.name = name
        self.lacks = dict(lacks or {})
        insist(name, check_public, "public_url", public_url)
        insist(name, check_public, "cdn_url", cdn_url)
        self._shown_at = cdn_url or public_url
        self._limits = Limits(allowed_extensions, max_file_size)

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
        """See :meth:`Storage.put`."""
        self._check_new(key)
        check_put(
            self.name,
            key,
            content_type=content_type,
            metadata=metadata,
            cache_control=cache_control,
            content_disposition=content_disposition,
            sha256=sha256,
            max_size=max_size,
        )
        again = opener(source)
        if access is not None:
            access = level(access)
            self._must_have(Feature.ACCESS_LEVELS, key)
        with again() as stream:
            reader = HashingReader(stream, self._limits.size(max_size))
            kind = content_type or content_type_of(reader.peek(HEAD), key)
            kept = dict(metadata or {})
            facts = Facts(kind, kept, None, cache_control, content_disposition)
            sha256 = sha256.lower() if sha256 else None
            return self._write(Write(key, reader, again, facts, access, create_only, sha256))

    @contextmanager
    def open(
        self,
        key: str,
        *,
        start: int = 0,
        length: int | None = None,
        if_match: str | None = None,
        version: str | None = None,
        verify: bool = False,
    ) -> Iterator[Reader]:
        """See :meth:`Storage.open`."""
        check_key(self.name, key)
        if version is not None:
            self._must_have(Feature.VERSIONS, key)
        if verify and (start or length is not None):
            raise Unsupported(self.name, key, "only a whole object can be verified")
        part = Part(start, length, if_match, version)
        self._check_etag(key, if_match)
        with self._open(key, part) as reader, closing(reader):
            # Some servers give the newest state where they know no versions.
            if version is not None and reader.stat.version != version:
                raise ObjectNotFound(self.name, key, "not in this version")
            sha256 = reader.stat.sha256
            if verify and sha256 is None:
                raise Unsupported(self.name, key, "it was put by others and has no sha256")
            yield VerifiedReader(self.name, reader, sha256) if verify else reader

    def stat(self, key: str) -> ObjectStat:
        """See :meth:`Storage.stat`."""
        check_key(self.name, key)
        return self._stat(key)

    def delete(self, *keys: str, if_match: str | None = None) -> None:
        """See :meth:`Storage.delete`."""
        check_keys(self.name, keys)
        if if_match is not None:
            key = only(keys)
            with suppress(ObjectNotFound):
                self._check_etag(key, if_match)
                self._delete_state(key, if_match)
        elif keys:
            self._delete(keys)

    def copy(self, source: str, target: str, *, create_only: bool = False) -> ObjectStat:
        """See :meth:`Storage.copy`."""
        self._check_new(target)
        if source != target:
            check_key(self.name, source)
            return self._copy(source, target, create_only=create_only)
        stat = self.stat(source)
        if create_only:
            raise ObjectExists(self.name, target)
        return stat

    def list(
        self,
        prefix: str = "",
        *,
        delimiter: Literal["/"] | None = None,
        limit: int | None = None,
        token: str | None = None,
    ) -> Any:
        """See :meth:`Storage.list`."""
        return PagedListing(self._pages(ask(self.name, prefix, delimiter, limit, token)))

    def versions(self, key: str) -> Iterator[ObjectStat]:
        """See :meth:`Storage.versions`."""
        check_key(self.name, key)
        return self._versions(key)

    def restore(self, key: str, version: str) -> ObjectStat:
        """See :meth:`Storage.restore`."""
        check_key(self.name, key)
        return self._restore(key, version)

    def url(self, key: str, *, expires: float | None = None, filename: str | None = None) -> Any:
        """See :meth:`Storage.url`."""
        check_key(self.name, key)
        shown = disposition(expires, filename)
        if expires is None:
            return public_address(self._shown_at, self._public_key(key))
        return self._signed_url(key, expires, shown)

    def presign_upload(
        self,
        key: str,
        *,
        content_type: str,
        max_size: int,
        min_size: int = 0,
        expires: float = 3600,
    ) -> PresignedUpload:
        """See :meth:`Storage.presign_upload`."""
        self._check_new(key)
        check_content_type(self.name, key, content_type)
        check_lasting(expires)
        sizes = self._limits.sizes(min_size, max_size)
        return self._presigned_upload(key, content_type, sizes, expires)

    def access(self, key: str) -> Access:
        """See :meth:`Storage.access`."""
        check_key(self.name, key)
        return self._access(key)

    def set_access(self, key: str, access: Access) -> None:
        """See :meth:`Storage.set_access`."""
        check_key(self.name, key)
        self._set_access(key, level(access))

    def close(self) -> None:
        """See :meth:`Storage.close`; nothing is open unless a back end says otherwise."""

    def _public_key(self, key: str) -> str:
        """*key* as public addresses name it."""
        return key

    def _check_etag(self, key: str, etag: str | None) -> None:
        """Answer for an etag that no store gives, as one does for another object's.

        Servers would match it with any object, or break off the connection.
        """
        if etag is not None and not is_etag(etag):
            self._stat(key)
            raise ObjectChanged(self.name, key, "no object has such an etag")

    def _check_new(self, key: str) -> None:
        """Refuse a key that nothing may be put under."""
        check_key(self.name, key)
        self._limits.check_extension(self.name, key)

    @abstractmethod
    def _write(self, write: Write) -> ObjectStat:
        """Put an object; leave nothing behind when it fails."""

    @abstractmethod
    def _open(self, key: str, part: Part) -> AbstractContextManager[ObjectReader]:
        """Open an object, or a part of it."""

    @abstractmethod
    def _stat(self, key: str) -> ObjectStat:
        """The facts of an object."""

    @abstractmethod
    def _delete(self, keys: tuple[str, ...]) -> None:
        """Remove objects; one at least is named."""

    def _delete_state(self, key: str, etag: str) -> None:
        """Remove an object if it has this etag; here for stores that know no such condition."""
        if self._stat(key).etag != etag:
            raise ObjectChanged(self.name, key)
        self._delete((key,))

    @abstractmethod
    def _copy(self, source: str, target: str, *, create_only: bool) -> ObjectStat:
        """Copy an object to another key."""

    @abstractmethod
    def _pages(self, ask: Ask) -> Iterator[Page]:
        """The entries of a list, in key order, no more than asked for."""

    def _versions(self, key: str) -> Iterator[ObjectStat]:
        """The kept states of an object, the newest first."""
        raise self._unsupported(Feature.VERSIONS, key)

    def _restore(self, key: str, version: str) -> ObjectStat:  # noqa: ARG002 (of those who can)
        """Make a version the object again."""
        raise self._unsupported(Feature.VERSIONS, key)

    def _signed_url(self, key: str, expires: float, disposition: str | None) -> str:  # noqa: ARG002 (of those who can)
        """An address that lasts *expires* seconds and is served with *disposition*."""
        raise self._unsupported(Feature.SIGNED_URLS, key)

    def _presigned_upload(
        self,
        key: str,
        content_type: str,  # noqa: ARG002 (of those who can)
        sizes: range,  # noqa: ARG002
        expires: float,  # noqa: ARG002
    ) -> PresignedUpload:
        """A form that puts this key, with this type and one of these sizes."""
        raise self._unsupported(Feature.PRESIGNED_UPLOADS, key)

    def _access(self, key: str) -> Access:
        """Who may read an object."""
        raise self._unsupported(Feature.ACCESS_LEVELS, key)

    def _set_access(self, key: str, access: Access) -> None:  # noqa: ARG002 (of those who can)
        """Change who may read an object."""
        raise self._unsupported(Feature.ACCESS_LEVELS, key)
