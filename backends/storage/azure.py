"""Objects in an Azure container (block blobs): streamed both ways, create-only by If-None-Match."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager
from datetime import timedelta
from http import HTTPStatus
from typing import Any

from pydantic import SecretStr

from uploadmill.backends.storage.arguments import Ask, Part, Write
from uploadmill.backends.storage.azure_access import azure_access
from uploadmill.backends.storage.azure_client import READ_SIZE, AzureContainer
from uploadmill.backends.storage.azure_copying import AzureCopier
from uploadmill.backends.storage.azure_errors import refusal, translated
from uploadmill.backends.storage.azure_list import BlobList
from uploadmill.backends.storage.azure_names import blob_name
from uploadmill.backends.storage.azure_objects import AzureObjects
from uploadmill.backends.storage.azure_reading import opened
from uploadmill.backends.storage.azure_signing import LONGEST_LOAN, AzureSigner
from uploadmill.backends.storage.azure_writing import AzureWriter
from uploadmill.backends.storage.bucket import checked_prefix
from uploadmill.backends.storage.features import Feature
from uploadmill.backends.storage.listing import Page
from uploadmill.backends.storage.objects import ObjectStat
from uploadmill.backends.storage.reader import ObjectReader
from uploadmill.backends.storage.skeleton import Skeleton
from uploadmill.backends.storage.timeouts import READ_TIMEOUT
from uploadmill.errors import ObjectNotFound, Unsupported

#: Bytes of a block, and of the largest object sent in one request. Two are held at a time.
PART_SIZE = 8 << 20

#: Bytes of the largest object that Azure copies in one request.
COPY_LIMIT = 256 << 20

#: Bytes of a block that Azure copies in one request, so that each is done within a minute.
COPY_PART_SIZE = 64 << 20

#: Objects listed in one request, of at most 5,000.
PAGE_SIZE = 1000

#: Objects deleted in one request: what Azure takes.
BATCH = 256


class AzureStorage(Skeleton):
    """Objects in a container of Azure Blob Storage, under a prefix.

    Args:
        container: Its name; it must exist.
        base_path: What the keys of all objects start with inside the container.
        name: The configured name.
        account_url: Of the account's blob service, ``https://ACCOUNT.blob.core.windows.net``;
            None: as the connection string in *credentials_path* has it.
        access_key: The account's key; None is the provider's own chain.
        credentials_path: A file with a connection string, or with nothing but an account key.
        versions: Whether the account keeps versions; that cannot be asked for.
        read_timeout: Seconds the server may stay silent.
        part_size: Bytes of a block, and of the largest object sent in one request.
        read_size: Bytes fetched in one request.
        copy_limit: Bytes of the largest object copied in one request.
        copy_part_size: Bytes of a block of a copy by blocks.
        page_size: Objects listed in one request.
        options: Those of every store (:class:`Skeleton`).
    """

    def __init__(
        self,
        container: str,
        base_path: str = "",
        *,
        name: str = "azure",
        account_url: str | None = None,
        access_key: SecretStr | str | None = None,
        credentials_path: str | None = None,
        versions: bool = False,
        read_timeout: float = READ_TIMEOUT,
        part_size: int = PART_SIZE,
        read_size: int = READ_SIZE,
        copy_limit: int = COPY_LIMIT,
        copy_part_size: int = COPY_PART_SIZE,
        page_size: int = PAGE_SIZE,
        **options: Any,
    ) -> None:
        lacks = {
            Feature.PRESIGNED_UPLOADS: "a signature of Azure's does not limit an upload's size",
            Feature.ACCESS_LEVELS: "on Azure access is the container's, not the object's",
        }
        if not versions:
            lacks[Feature.VERSIONS] = "it was opened without versions=True"
        super().__init__(name, lacks=lacks, **options)
        access = azure_access(name, account_url, access_key, credentials_path, read_timeout)
        self._container = AzureContainer(container, access, part_size, read_size)
        prefix = checked_prefix(name, base_path)
        self._objects = AzureObjects(name, self._container, prefix, versions=versions)
        self._signer = AzureSigner(self._container)
        self._writer = AzureWriter(self._objects, part_size)
        self._copier = AzureCopier(self._objects, self._signer, copy_limit, copy_part_size)
        self._page_size = page_size

    def ping(self) -> None:
        """See :meth:`Storage.ping`; the container must be there and let us in."""
        with translated(self.name):
            self._container.client.get_container_properties(**self._container.brisk)

    def close(self) -> None:
        """Give back this process's connections; the store stays usable."""
        self._container.close()

    def _write(self, write: Write) -> ObjectStat:
        return self._writer.write(write)

    def _open(self, key: str, part: Part) -> AbstractContextManager[ObjectReader]:
        return opened(self._objects, key, part)

    def _stat(self, key: str) -> ObjectStat:
        return self._objects.head(key)

    def _delete(self, keys: tuple[str, ...]) -> None:
        names = [self._objects.name(key) for key in dict.fromkeys(keys)]
        for first in range(0, len(names), BATCH):
            self._delete_batch(names[first : first + BATCH])

    def _delete_state(self, key: str, etag: str) -> None:
        with self._objects.asking(key, Part(if_match=etag)) as condition:
            self._objects.blob(key).delete_blob("include", **condition)

    def _copy(self, source: str, target: str, *, create_only: bool) -> ObjectStat:
        self._copier.copy(self._stat(source), target, create_only=create_only)
        return self._stat(target)

    def _pages(self, ask: Ask) -> Iterator[Page]:
        return self._list().pages(ask, self._page_size)

    def _versions(self, key: str) -> Iterator[ObjectStat]:
        self._must_have(Feature.VERSIONS, key)
        states = self._list().kept(self._objects.name(key))
        if any(each.version_id is None for each in states):
            raise Unsupported(self.name, key, "the account keeps no versions")
        return (self._objects.found(key, each) for each in reversed(states))

    def _restore(self, key: str, version: str) -> ObjectStat:
        self._must_have(Feature.VERSIONS, key)
        stat = self._objects.head(key, Part(version=version))
        if stat.version != version:
            raise ObjectNotFound(self.name, key, "not in this version")
        self._copier.copy(stat, key, create_only=False, version=version)
        return self._stat(key)

    def _signed_url(self, key: str, expires: float, disposition: str | None) -> str:
        lasts = timedelta(seconds=expires)
        if self._container.access.key is None and lasts > LONGEST_LOAN:
            raise Unsupported(self.name, key, "without an account key an address lasts 7 days")
        with translated(self.name, key):
            return self._signer.address(self._objects.name(key), lasts, shown=disposition)

    def _public_key(self, key: str) -> str:
        return blob_name(key)

    def _delete_batch(self, names: Sequence[str]) -> None:
        """Remove at most as many objects as one request takes; a missing one is no error."""
        with translated(self.name):
            answers = self._container.client.delete_blobs(
                *names, delete_snapshots="include", raise_on_any_failure=False
            )
            for each in answers:
                code = each.headers.get("x-ms-error-code", "")
                if each.status_code != HTTPStatus.ACCEPTED and code != "BlobNotFound":
                    raise refusal(self.name, "", code, each.status_code)

    def _list(self) -> BlobList:
        return BlobList(self.name, self._container.client, self._objects.prefix)
