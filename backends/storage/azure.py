"""Objects in an Azure container (block blobs): streamed both ways, create-only by If-None-Match."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from datetime import timedelta
from http import HTTPStatus
from typing import Any

from azure.core import MatchConditions
from azure.core.exceptions import HttpResponseError
from azure.storage.blob import BlobClient, StorageStreamDownloader
from pydantic import SecretStr

from uploadmill.backends.storage.arguments import Ask, Part, Write
from uploadmill.backends.storage.azure_access import azure_access
from uploadmill.backends.storage.azure_answers import created, found, headers, quoted
from uploadmill.backends.storage.azure_client import READ_SIZE, AzureContainer
from uploadmill.backends.storage.azure_conditions import asking, deciding, reading
from uploadmill.backends.storage.azure_errors import refusal, status_of, translated
from uploadmill.backends.storage.azure_list import BlobList
from uploadmill.backends.storage.azure_names import blob_name
from uploadmill.backends.storage.azure_signing import LONGEST_LOAN, AzureSigner
from uploadmill.backends.storage.azure_upload import MAX_BLOCKS, BlockUpload
from uploadmill.backends.storage.bucket import checked_prefix
from uploadmill.backends.storage.facts import facts_of
from uploadmill.backends.storage.features import Feature
from uploadmill.backends.storage.hashing import read_up_to
from uploadmill.backends.storage.listing import Page
from uploadmill.backends.storage.objects import ObjectStat
from uploadmill.backends.storage.reader import ObjectReader
from uploadmill.backends.storage.skeleton import Skeleton
from uploadmill.backends.storage.timeouts import READ_TIMEOUT
from uploadmill.errors import ObjectExists, ObjectNotFound, Unsupported

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

#: Seconds for which a copy's source may be read; each request gets an address of its own.
_COPY_LASTS = timedelta(hours=1)


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
        self._signer = AzureSigner(self._container)
        self._prefix = checked_prefix(name, base_path)
        self._part_size = part_size
        self._copy_limit = copy_limit
        self._copy_part_size = copy_part_size
        self._page_size = page_size

    def ping(self) -> None:
        """See :meth:`Storage.ping`; the container must be there and let us in."""
        with translated(self.name):
            self._container.client.get_container_properties(**self._container.brisk)

    def close(self) -> None:
        """Give back this process's connections; the store stays usable."""
        self._container.close()

    def _write(self, write: Write) -> ObjectStat:
        """Put an object; its headers go with its last request, so it is read only once."""
        content = read_up_to(write.reader, self._part_size)
        if len(content) < self._part_size:
            write.reader.verify(self.name, write.key, write.sha256)
            return self._put_small(write, bytes(content))
        if write.create_only and self.exists(write.key):
            raise ObjectExists(self.name, write.key)
        return self._put_large(write, content)

    @contextmanager
    def _open(self, key: str, part: Part) -> Iterator[ObjectReader]:
        answer = None if part.length == 0 else self._get(key, part)
        if answer is None:
            yield ObjectReader(self.name, self._head(key, part))
            return
        stat, body = answer
        fetch = translated(self.name, key)(body.read)
        yield ObjectReader(self.name, stat, body.size, fetch)

    def _stat(self, key: str) -> ObjectStat:
        return self._head(key, Part())

    def _delete(self, keys: tuple[str, ...]) -> None:
        names = [self._blob_name(key) for key in dict.fromkeys(keys)]
        for first in range(0, len(names), BATCH):
            self._delete_batch(names[first : first + BATCH])

    def _delete_state(self, key: str, etag: str) -> None:
        with asking(self, key, Part(if_match=etag)) as condition:
            self._blob(key).delete_blob("include", **condition)

    def _copy(self, source: str, target: str, *, create_only: bool) -> ObjectStat:
        return self._copied(self._stat(source), target, create_only=create_only)

    def _pages(self, ask: Ask) -> Iterator[Page]:
        return self._list().pages(ask, self._page_size)

    def _versions(self, key: str) -> Iterator[ObjectStat]:
        self._must_have(Feature.VERSIONS, key)
        states = self._list().kept(self._blob_name(key))
        if any(each.version_id is None for each in states):
            raise Unsupported(self.name, key, "the account keeps no versions")
        return (found(key, each) for each in reversed(states))

    def _restore(self, key: str, version: str) -> ObjectStat:
        self._must_have(Feature.VERSIONS, key)
        stat = self._head(key, Part(version=version))
        if stat.version != version:
            raise ObjectNotFound(self.name, key, "not in this version")
        return self._copied(stat, key, create_only=False, version=version)

    def _signed_url(self, key: str, expires: float, disposition: str | None) -> str:
        lasts = timedelta(seconds=expires)
        if self._container.access.key is None and lasts > LONGEST_LOAN:
            raise Unsupported(self.name, key, "without an account key an address lasts 7 days")
        with translated(self.name, key):
            return self._signer.address(self._blob_name(key), lasts, shown=disposition)

    def _public_key(self, key: str) -> str:
        return blob_name(key)

    def _blob_name(self, key: str) -> str:
        return blob_name(self._prefix + key)

    def _put_small(self, write: Write, content: bytes) -> ObjectStat:
        """Send an object in one request; the server verifies its MD5."""
        facts = replace(write.facts, sha256=write.reader.sha256)
        with deciding(self, write.key, create_only=write.create_only) as condition:
            made = self._blob(write.key).upload_blob(
                content, **headers(facts), **condition, overwrite=True, validate_content=True
            )
            return self._known(created(write.key, facts, len(content), made))

    def _put_large(self, write: Write, first: bytearray) -> ObjectStat:
        """Send an object block by block; its whole sha256 is verified before it is visible."""
        reader = write.reader
        largest = MAX_BLOCKS * self._part_size
        reader.max_size = min(reader.max_size or largest, largest)
        upload = BlockUpload(lambda: self._blob(write.key), self._container.patient)
        block = first
        while block:
            with translated(self.name, write.key):
                upload.add(bytes(block))
            # Now, and not when the next block is complete: one in memory, not two.
            block.clear()
            block = read_up_to(reader, self._part_size)
        reader.verify(self.name, write.key, write.sha256)
        facts = replace(write.facts, sha256=reader.sha256)
        with deciding(self, write.key, create_only=write.create_only) as condition:
            made = upload.commit({**headers(facts), **condition})
            return self._known(created(write.key, facts, reader.size, made))

    def _copied(
        self, source: ObjectStat, target: str, *, create_only: bool, version: str | None = None
    ) -> ObjectStat:
        """Copy an object, or a version of one, to *target*."""
        copy = self._copy_by_blocks if source.size > self._copy_limit else self._copy_at_once
        copy(source, version, target, create_only=create_only)
        return self._stat(target)

    def _copy_at_once(
        self, source: ObjectStat, version: str | None, target: str, *, create_only: bool
    ) -> None:
        with deciding(self, target, source.key, create_only=create_only) as condition:
            self._blob(target).start_copy_from_url(
                self._readable(source.key, version),
                requires_sync=True,
                source_etag=quoted(source.etag),
                source_match_condition=MatchConditions.IfNotModified,
                **condition,
                **self._container.patient,
            )

    def _copy_by_blocks(
        self, source: ObjectStat, version: str | None, target: str, *, create_only: bool
    ) -> None:
        """Copy what is too large for one request."""
        step = self._copy_part_size
        upload = BlockUpload(lambda: self._blob(target), self._container.patient)
        for start in range(0, source.size, step):
            size = min(step, source.size - start)
            with reading(self, source.key):
                upload.add_copy(self._readable(source.key, version), source, start, size)
        with deciding(self, target, create_only=create_only) as condition:
            upload.commit({**headers(facts_of(source)), **condition})

    def _readable(self, key: str, version: str | None) -> str:
        """Where Azure itself may read a copy's source."""
        return self._signer.address(self._blob_name(key), _COPY_LASTS, version=version)

    def _get(
        self, key: str, part: Part
    ) -> tuple[ObjectStat, StorageStreamDownloader[bytes]] | None:
        """The beginning of what was asked for; None where there is nothing in that range.

        The requests for the rest ask for the etag of this one, so an object that is overwritten
        meanwhile ends the reading.
        """
        whole = part.start == 0 and part.length is None
        with asking(self, key, part) as condition:
            try:
                body = self._blob(key, part.version).download_blob(
                    None if whole else part.start, part.length, **condition
                )
            except HttpResponseError as error:
                if status_of(error) == HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE:
                    return None
                raise
            return self._known(found(key, body.properties)), body

    def _head(self, key: str, part: Part) -> ObjectStat:
        with asking(self, key, part) as condition:
            blob = self._blob(key, part.version).get_blob_properties(**condition)
            return self._known(found(key, blob))

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
        return BlobList(self.name, self._container.client, self._prefix)

    def _known(self, stat: ObjectStat) -> ObjectStat:
        """Without the version where we are not to know of versions."""
        return replace(stat, version=None) if Feature.VERSIONS in self.lacks else stat

    def _blob(self, key: str, version: str | None = None) -> BlobClient:
        return self._container.blob(self._blob_name(key), version)
