"""A store in a bucket of Google Cloud Storage, or of an emulator of it."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager
from typing import Any

from uploadmill.backends.storage.addresses import insist
from uploadmill.backends.storage.arguments import Ask, Part, Write
from uploadmill.backends.storage.bucket import checked_prefix
from uploadmill.backends.storage.features import Access, Feature, PresignedUpload
from uploadmill.backends.storage.gcs_client import GoogleAccess, GoogleBucket
from uploadmill.backends.storage.gcs_copying import Copy, copied
from uploadmill.backends.storage.gcs_list import pages, versions
from uploadmill.backends.storage.gcs_objects import GoogleObjects, generation_of
from uploadmill.backends.storage.gcs_reading import opened
from uploadmill.backends.storage.gcs_signing import NO_SIGNER, signed_form, signed_url
from uploadmill.backends.storage.gcs_upload import CHUNK_UNIT
from uploadmill.backends.storage.gcs_writing import GoogleWriter
from uploadmill.backends.storage.listing import Page
from uploadmill.backends.storage.objects import ObjectStat
from uploadmill.backends.storage.reader import ObjectReader
from uploadmill.backends.storage.skeleton import Skeleton
from uploadmill.backends.storage.timeouts import READ_TIMEOUT
from uploadmill.errors import (
    InvalidSettings,
    ObjectChanged,
    ObjectNotFound,
    Unsupported,
)
from uploadmill.store_url import check_endpoint

#: Bytes of one chunk, and of the largest object that is sent in one request: what a put holds in
#: memory.
CHUNK_SIZE = 8 << 20

#: Objects of one page of a list: what Google allows.
PAGE_SIZE = 1000

#: Deletes under way at once: the API takes one object at a time.
_DELETES = 8

#: What Google takes as a bucket's name, with the dots of verified domains.
_BUCKET = re.compile(r"[a-z0-9][a-z0-9._-]{1,220}[a-z0-9]")


class GoogleStorage(Skeleton):
    """Objects in a bucket, under a prefix.

    Args:
        bucket: Its name; it must exist.
        base_path: What the keys of all objects start with inside the bucket.
        name: The configured name.
        project_id: None is the credentials' own.
        credentials_path: Of a service account's key file; None is the provider's own chain
            (Application Default Credentials).
        endpoint_url: Of an emulator, which nobody signs in to; None is Google.
        read_timeout: Seconds the server may stay silent.
        chunk_size: Bytes of a chunk, and of the largest object sent in one request; a multiple
            of 256 KiB.
        page_size: Objects listed in one request.
        options: Those of every store (:class:`Skeleton`).
    """

    def __init__(
        self,
        bucket: str,
        base_path: str = "",
        *,
        name: str = "gcs",
        project_id: str | None = None,
        credentials_path: str | None = None,
        endpoint_url: str | None = None,
        read_timeout: float = READ_TIMEOUT,
        chunk_size: int = CHUNK_SIZE,
        page_size: int = PAGE_SIZE,
        **options: Any,
    ) -> None:
        insist(name, check_endpoint, "endpoint_url", endpoint_url)
        access = GoogleAccess(endpoint_url, project_id, credentials_path, read_timeout)
        signed = (Feature.SIGNED_URLS, Feature.PRESIGNED_UPLOADS) if access.anonymous else ()
        super().__init__(name, lacks=dict.fromkeys(signed, NO_SIGNER), **options)
        if not _BUCKET.fullmatch(bucket):
            raise InvalidSettings(f"storage {name!r}: no bucket of Google's can have this name")
        if chunk_size < CHUNK_UNIT or chunk_size % CHUNK_UNIT:
            raise InvalidSettings(f"storage {name!r}: chunk_size is a multiple of {CHUNK_UNIT}")
        self._bucket = GoogleBucket(bucket, access)
        self._objects = GoogleObjects(name, self._bucket, checked_prefix(name, base_path))
        self._writer = GoogleWriter(self._objects, chunk_size)
        self._page_size = page_size

    def ping(self) -> None:
        """See :meth:`Storage.ping`; the bucket must be there and let us in."""
        self._objects.look_at_bucket()

    def close(self) -> None:
        """Give back this process's connections; the store stays usable."""
        self._bucket.close()

    def _must_have(self, feature: Feature, key: str) -> None:
        """Refuse what the store, or this bucket, has not got."""
        super()._must_have(feature, key)
        lacks = self._objects.lacks()
        if feature in lacks:
            raise Unsupported(self.name, key, lacks[feature])

    def _write(self, write: Write) -> ObjectStat:
        return self._writer.write(write)

    def _open(self, key: str, part: Part) -> AbstractContextManager[ObjectReader]:
        return opened(self._objects, key, part)

    def _stat(self, key: str) -> ObjectStat:
        return self._objects.described(key, self._objects.look_up(key))

    def _delete(self, keys: tuple[str, ...]) -> None:
        if len(keys) == 1:
            self._delete_one(keys[0])
            return
        with ThreadPoolExecutor(min(_DELETES, len(keys))) as pool:
            for _ in pool.map(self._delete_one, keys):
                pass

    def _delete_one(self, key: str, generation: int | None = None) -> None:
        with contextlib.suppress(ObjectNotFound), self._objects.asking(key):
            self._objects.blob(key).delete(if_generation_match=generation, **self._bucket.how())

    def _delete_state(self, key: str, etag: str) -> None:
        generation = generation_of(etag)
        if generation is None:
            self._stat(key)
            raise ObjectChanged(self.name, key)
        self._delete_one(key, generation)

    def _copy(self, source: str, target: str, *, create_only: bool) -> ObjectStat:
        return copied(self._objects, Copy(source, target, create_only=create_only))

    def _pages(self, ask: Ask) -> Iterator[Page]:
        return pages(self._objects, ask, self._page_size)

    def _versions(self, key: str) -> Iterator[ObjectStat]:
        self._must_have(Feature.VERSIONS, key)
        return versions(self._objects, key, self._page_size)

    def _restore(self, key: str, version: str) -> ObjectStat:
        self._must_have(Feature.VERSIONS, key)
        return copied(self._objects, Copy(key, key, version))

    def _signed_url(self, key: str, expires: float, disposition: str | None) -> str:
        super()._must_have(Feature.SIGNED_URLS, key)
        return signed_url(self._objects, key, expires, disposition)

    def _presigned_upload(
        self, key: str, content_type: str, sizes: range, expires: float
    ) -> PresignedUpload:
        super()._must_have(Feature.PRESIGNED_UPLOADS, key)
        return signed_form(self._objects, key, content_type, sizes, expires)

    def _access(self, key: str) -> Access:
        everybody = self._grants(key).all().get_roles()
        return Access.PUBLIC_READ if everybody & {"READER", "OWNER"} else Access.PRIVATE

    def _set_access(self, key: str, access: Access) -> None:
        grants = self._grants(key)
        everybody = grants.all()
        for role in tuple(everybody.get_roles()):
            everybody.revoke(role)
        if access is Access.PUBLIC_READ:
            everybody.grant_read()
        with self._objects.asking(key):
            grants.save(**self._bucket.how())

    def _grants(self, key: str) -> Any:
        """Google's list of who may do what with an object."""
        self._must_have(Feature.ACCESS_LEVELS, key)
        grants = self._objects.blob(key).acl
        with self._objects.asking(key):
            grants.reload(**self._bucket.how())
        return grants
