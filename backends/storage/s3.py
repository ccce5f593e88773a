"""A store in a bucket of Amazon S3, or of a server that speaks its language."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager
from typing import Any, get_args

from botocore.exceptions import ClientError
from pydantic import SecretStr

from uploadmill.backends.storage.addresses import insist
from uploadmill.backends.storage.arguments import Ask, Part, Write
from uploadmill.backends.storage.bucket import checked_prefix, revealed
from uploadmill.backends.storage.features import Access, PresignedUpload
from uploadmill.backends.storage.keys import check_key, check_prefix
from uploadmill.backends.storage.limits import Limits
from uploadmill.backends.storage.listing import Page
from uploadmill.backends.storage.objects import ObjectStat
from uploadmill.backends.storage.reader import ObjectReader
from uploadmill.backends.storage.s3_answers import listed, server_name, server_token, token_of
from uploadmill.backends.storage.s3_client import Addressing, S3Access, S3Bucket, check_s3_endpoint
from uploadmill.backends.storage.s3_copying import S3Copier
from uploadmill.backends.storage.s3_errors import code_of, is_absent, meaning, translated
from uploadmill.backends.storage.s3_features import (
    access_of,
    presigned_upload,
    set_access,
    signed_url,
)
from uploadmill.backends.storage.s3_objects import S3Objects
from uploadmill.backends.storage.s3_reading import opened
from uploadmill.backends.storage.s3_upload import MAX_PARTS, unfinished
from uploadmill.backends.storage.s3_versions import S3Versions
from uploadmill.backends.storage.s3_writing import STREAM_LIMIT, S3Writer
from uploadmill.backends.storage.skeleton import Skeleton
from uploadmill.backends.storage.timeouts import READ_TIMEOUT
from uploadmill.backends.storage.unfinished import UnfinishedUpload
from uploadmill.errors import InvalidSettings

#: Bytes of one part: a put holds two in memory. S3 wants 5 MiB at least.
PART_SIZE = 8 << 20

#: Bytes above which one CopyObject is refused by S3, and of one part of a copy by parts.
COPY_LIMIT = 5_000_000_000
COPY_PART_SIZE = 512 << 20

#: Objects one DeleteObjects takes and one page of a list gives: what S3 allows.
PAGE_SIZE = 1000

#: What servers call themselves that list folder by folder.
_LIST_BY_FOLDER = ("SeaweedFS",)


class S3Storage(Skeleton):
    """Objects in a bucket, under a prefix.

    Args:
        bucket: Its name; it must exist.
        base_path: What the keys of all objects start with inside the bucket.
        name: The configured name.
        endpoint_url: Of an S3-compatible server; None is AWS.
        region: None is the provider's own chain.
        access_key: None is the provider's own chain (environment, files, role).
        secret_key: The same.
        addressing: ``path`` or ``virtual``; None is ``path`` where an endpoint is given.
        read_timeout: Seconds the server may stay silent.
        part_size: Bytes of a part, and more than the largest object that is held in memory.
            There are 10,000 parts at most, so this limits what can be put.
        stream_limit: Bytes of the largest object, of known size, that is streamed in one request.
        copy_limit: Bytes of the largest object copied in one request.
        copy_part_size: Bytes of a part of a copy by parts.
        page_size: Objects listed, or deleted, in one request.
        lists_by_folder: Whether the server lists ``a/b`` before ``a-b``; None: by its name.
        max_file_size: In bytes; None: what fits into all parts.
        options: Those of every store (:class:`Skeleton`).
    """

    def __init__(
        self,
        bucket: str,
        base_path: str = "",
        *,
        name: str = "s3",
        endpoint_url: str | None = None,
        region: str | None = None,
        access_key: SecretStr | str | None = None,
        secret_key: SecretStr | str | None = None,
        addressing: Addressing | None = None,
        read_timeout: float = READ_TIMEOUT,
        part_size: int = PART_SIZE,
        stream_limit: int = STREAM_LIMIT,
        copy_limit: int = COPY_LIMIT,
        copy_part_size: int = COPY_PART_SIZE,
        page_size: int = PAGE_SIZE,
        lists_by_folder: bool | None = None,
        max_file_size: int | None = None,
        **options: Any,
    ) -> None:
        largest = Limits(max_file_size=max_file_size).size(MAX_PARTS * part_size)
        super().__init__(name, max_file_size=largest, **options)
        insist(name, check_s3_endpoint, "endpoint_url", endpoint_url)
        if addressing not in (None, *get_args(Addressing)):
            there_are = ", ".join(get_args(Addressing))
            raise InvalidSettings(f"storage {name!r}: addressing is one of: {there_are}")
        access = S3Access(
            endpoint_url=endpoint_url,
            region=region,
            access_key=revealed(access_key),
            secret_key=revealed(secret_key),
            addressing=addressing or ("path" if endpoint_url else "auto"),
            read_timeout=read_timeout,
        )
        self._bucket = S3Bucket(bucket, access)
        self._objects = S3Objects(name, self._bucket, checked_prefix(name, base_path))
        self._writer = S3Writer(self._objects, part_size, stream_limit)
        self._copier = S3Copier(self._objects, copy_limit, copy_part_size)
        self._kept = S3Versions(self._objects)
        self._page_size = page_size
        self._by_folder = lists_by_folder

    def _write(self, write: Write) -> ObjectStat:
        return self._writer.write(write)

    def _open(self, key: str, part: Part) -> AbstractContextManager[ObjectReader]:
        if part.version is not None:
            self._kept.insist(key)
        return opened(self._objects, key, part)

    def _stat(self, key: str) -> ObjectStat:
        return self._objects.head(key)

    def _delete(self, keys: tuple[str, ...]) -> None:
        for first in range(0, len(keys), self._page_size):
            self._delete_page(keys[first : first + self._page_size])

    def _copy(self, source: str, target: str, *, create_only: bool) -> ObjectStat:
        self._copier.copy(self._stat(source), target, create_only=create_only)
        return self._stat(target)

    def _versions(self, key: str) -> Iterator[ObjectStat]:
        self._kept.insist(key)
        return self._kept.of(key)

    def _restore(self, key: str, version: str) -> ObjectStat:
        self._kept.insist(key)
        source = self._objects.head(key, {"VersionId": version})
        self._copier.copy(source, key, create_only=False, version=version)
        return self._stat(key)

    def _signed_url(self, key: str, expires: float, disposition: str | None) -> str:
        return signed_url(self._objects, key, expires, disposition)

    def _presigned_upload(
        self, key: str, content_type: str, sizes: range, expires: float
    ) -> PresignedUpload:
        return presigned_upload(self._objects, key, content_type, sizes, expires)

    def _access(self, key: str) -> Access:
        return access_of(self._objects, key)

    def _set_access(self, key: str, access: Access) -> None:
        set_access(self._objects, key, access)

    def unfinished(self, prefix: str = "") -> Iterator[UnfinishedUpload]:
        """See :meth:`KeepsParts.unfinished`."""
        check_prefix(self.name, prefix)
        with translated(self.name):
            for key, upload_id, begun in unfinished(self._bucket, self._objects.prefix + prefix):
                yield UnfinishedUpload(key.removeprefix(self._objects.prefix), upload_id, begun)

    def abort(self, upload: UnfinishedUpload) -> None:
        """See :meth:`KeepsParts.abort`."""
        check_key(self.name, upload.key)
        with translated(self.name, upload.key):
            try:
                self._bucket.client.abort_multipart_upload(
                    **self._objects.address(upload.key), UploadId=upload.id
                )
            except ClientError as error:
                if not is_absent(error):
                    raise

    def lists_by_folder(self) -> bool:
        """See :class:`ListsByFolder`; a server is asked once who it is."""
        if self._by_folder is None:
            with translated(self.name):
                answer = self._bucket.client.head_bucket(Bucket=self._bucket.name)
            self._by_folder = server_name(answer).startswith(_LIST_BY_FOLDER)
        return self._by_folder

    def ping(self) -> None:
        """See :meth:`Storage.ping`; the bucket must be there and let us in."""
        with translated(self.name):
            self._bucket.brisk.head_bucket(Bucket=self._bucket.name)

    def close(self) -> None:
        """Give back this process's connections; the store stays usable."""
        self._bucket.close()

    def _delete_page(self, keys: Sequence[str]) -> None:
        """Remove at most as many objects as one request takes."""
        objects: Any = [{"Key": self._objects.prefix + key} for key in keys]
        with translated(self.name):
            answer = self._bucket.client.delete_objects(
                Bucket=self._bucket.name, Delete={"Objects": objects, "Quiet": True}
            )
        for problem in answer.get("Errors", ()):
            error = ClientError({"Error": problem}, "DeleteObjects")
            if code_of(error) != "NoSuchKey":
                raise meaning(self.name, problem.get("Key", ""), error) from error

    def _pages(self, ask: Ask) -> Iterator[Page]:
        token, left = server_token(ask.token), ask.limit
        while True:
            page = self._page(ask, token, left)
            token = page.token
            left = None if left is None else left - len(page.entries)
            yield Page(page.entries, token_of(token))
            # Some servers count an object and a folder of the same name for one.
            if token is None or (left is not None and left <= 0):
                return

    def _page(self, ask: Ask, token: str | None, left: int | None) -> Page:
        asked: dict[str, Any] = {"Delimiter": "/"} if ask.folders else {}
        if token is not None:
            asked["ContinuationToken"] = token
        with translated(self.name):
            answer = self._bucket.client.list_objects_v2(
                Bucket=self._bucket.name,
                Prefix=self._objects.prefix + ask.prefix,
                MaxKeys=self._page_size if left is None else min(self._page_size, left),
                **asked,
            )
        return listed(answer, self._objects.prefix)
