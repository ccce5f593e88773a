"""A store in a bucket of Amazon S3, or of a server that speaks its language."""

from __future__ import annotations

import base64
import contextlib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, Literal, cast

from botocore.exceptions import ClientError
from pydantic import SecretStr

from uploadmill.backends.storage.base import Feature, ObjectStat, UnfinishedUpload
from uploadmill.backends.storage.bucket import checked_prefix, revealed
from uploadmill.backends.storage.facts import Facts, facts_of
from uploadmill.backends.storage.hashing import HashingReader, read_up_to
from uploadmill.backends.storage.keys import check_key, check_prefix
from uploadmill.backends.storage.listing import Ask, Page
from uploadmill.backends.storage.s3_answers import created, found, headers, listed, quoted
from uploadmill.backends.storage.s3_client import READ_TIMEOUT, S3Access, S3Bucket
from uploadmill.backends.storage.s3_errors import (
    code_of,
    is_conflict,
    is_precondition,
    meaning,
    status_of,
    translated,
)
from uploadmill.backends.storage.s3_upload import MAX_PARTS, MultipartUpload, unfinished
from uploadmill.backends.storage.skeleton import Part, Skeleton, Write
from uploadmill.errors import ObjectExists, ObjectNotFound, StorageUnavailable, Unsupported

if TYPE_CHECKING:
    from botocore.response import StreamingBody

#: Bytes of one part, and of the largest object that is sent in one request: what a put holds in
#: memory. S3 wants parts of 5 MiB at least.
PART_SIZE = 8 << 20

#: Bytes above which one CopyObject is refused by S3, and of one part of a copy by parts.
COPY_LIMIT = 5_000_000_000
COPY_PART_SIZE = 512 << 20

#: Objects one DeleteObjects takes and one page of a list gives: what S3 allows.
PAGE_SIZE = 1000


class S3Reader:
    """The body of an answer; None where there was nothing to ask for."""

    def __init__(self, store: str, stat: ObjectStat, answer: Mapping[str, Any] | None) -> None:
        self.stat = stat
        self._store = store
        self._body: StreamingBody | None = answer["Body"] if answer else None
        self._left: int = answer["ContentLength"] if answer else 0

    def read(self, size: int, /) -> bytes:
        """At most *size* bytes; ``b""`` only at the end."""
        if size < 0:
            raise ValueError("say how many bytes to read")
        wanted = min(size, self._left)
        if self._body is None or not wanted:
            return b""
        with translated(self._store, self.stat.key):
            chunk = self._body.read(wanted)
        if not chunk:
            raise StorageUnavailable(self._store, "the body ended before its announced end")
        self._left -= len(chunk)
        return chunk


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
        part_size: Bytes of a part, and of the largest object sent in one request.
        copy_limit: Bytes of the largest object copied in one request.
        copy_part_size: Bytes of a part of a copy by parts.
        page_size: Objects listed, or deleted, in one request.
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
        addressing: Literal["auto", "path", "virtual"] | None = None,
        read_timeout: float = READ_TIMEOUT,
        part_size: int = PART_SIZE,
        copy_limit: int = COPY_LIMIT,
        copy_part_size: int = COPY_PART_SIZE,
        page_size: int = PAGE_SIZE,
        **options: Any,
    ) -> None:
        later = (Feature.SIGNED_URLS, Feature.PRESIGNED_UPLOADS, Feature.ACCESS_LEVELS)
        super().__init__(name, lacks=dict.fromkeys(later, "not yet"), **options)
        access = S3Access(
            endpoint_url=endpoint_url,
            region=region,
            access_key=revealed(access_key),
            secret_key=revealed(secret_key),
            addressing=addressing or ("path" if endpoint_url else "auto"),
            read_timeout=read_timeout,
        )
        self._bucket = S3Bucket(bucket, access)
        self._prefix = checked_prefix(name, base_path)
        self._part_size = part_size
        self._copy_limit = copy_limit
        self._copy_part_size = copy_part_size
        self._page_size = page_size

    def _write(self, write: Write) -> ObjectStat:
        """Put an object.

        The sha256 travels in front of the bytes, so it must be known before they are sent: a
        small object is held and hashed; a large one is read once for its sha256, unless the
        caller gave that, and once to be sent.
        """
        content = read_up_to(write.reader, self._part_size)
        if len(content) < self._part_size:
            write.reader.verify(self.name, write.key, write.sha256)
            return self._put_small(write, content)
        del content
        if write.create_only and self.exists(write.key):
            raise ObjectExists(self.name, write.key)
        return self._put_large(write, write.sha256 or self._hash_rest(write))

    @contextmanager
    def _open(self, key: str, part: Part) -> Iterator[S3Reader]:
        asked = self._address(key) | _conditions(part)
        answer = None if part.length == 0 else self._get(key, asked, _range(part))
        stat = self._head(key, asked) if answer is None else found(key, answer)
        with contextlib.ExitStack() as stack:
            if answer is not None:
                stack.enter_context(contextlib.closing(answer["Body"]))
            if part.version is not None and stat.version != part.version:
                raise ObjectNotFound(self.name, key, "not in this version")
            yield S3Reader(self.name, stat, answer)

    def _stat(self, key: str) -> ObjectStat:
        return self._head(key, self._address(key))

    def _delete(self, keys: tuple[str, ...]) -> None:
        for first in range(0, len(keys), self._page_size):
            self._delete_page(keys[first : first + self._page_size])

    def _copy(self, source: str, target: str, *, create_only: bool) -> ObjectStat:
        stat = self._stat(source)
        if stat.size > self._copy_limit:
            self._copy_by_parts(stat, target, create_only=create_only)
        else:
            self._copy_at_once(stat, target, create_only=create_only)
        return self._stat(target)

    def unfinished(self, prefix: str = "") -> Iterator[UnfinishedUpload]:
        """See :meth:`KeepsParts.unfinished`."""
        check_prefix(self.name, prefix)
        with translated(self.name):
            for key, upload_id, begun in unfinished(self._bucket, self._prefix + prefix):
                yield UnfinishedUpload(key.removeprefix(self._prefix), upload_id, begun)

    def abort(self, upload: UnfinishedUpload) -> None:
        """See :meth:`KeepsParts.abort`."""
        check_key(self.name, upload.key)
        with translated(self.name, upload.key):
            try:
                self._bucket.client.abort_multipart_upload(
                    **self._address(upload.key), UploadId=upload.id
                )
            except ClientError as error:
                if status_of(error) != HTTPStatus.NOT_FOUND:
                    raise

    def ping(self) -> None:
        """See :meth:`Storage.ping`; the bucket must be there and let us in."""
        with translated(self.name):
            self._bucket.brisk.head_bucket(Bucket=self._bucket.name)

    def close(self) -> None:
        """Give back this process's connections; the store stays usable."""
        self._bucket.close()

    def _address(self, key: str) -> dict[str, Any]:
        return {"Bucket": self._bucket.name, "Key": self._prefix + key}

    def _hash_rest(self, write: Write) -> str:
        """The sha256 of a large object, before anything is sent."""
        reader = write.reader
        reader.drain()
        if reader.size > MAX_PARTS * self._part_size:
            limit = f"{MAX_PARTS} parts of {self._part_size} bytes"
            raise Unsupported(self.name, write.key, f"{reader.size} bytes are more than {limit}")
        return reader.sha256

    def _put_small(self, write: Write, content: bytearray) -> ObjectStat:
        """Send an object in one request; the server verifies its sha256."""
        facts = replace(write.facts, sha256=write.reader.sha256)
        checksum = base64.b64encode(bytes.fromhex(write.reader.sha256)).decode()
        with self._deciding(write.key, create_only=write.create_only) as condition:
            answer = self._bucket.client.put_object(
                **self._address(write.key),
                **headers(facts),
                **condition,
                Body=cast("bytes", content),
                ChecksumSHA256=checksum,
            )
        return created(write.key, facts, len(content), answer)

    def _put_large(self, write: Write, sha256: str) -> ObjectStat:
        """Send an object part by part; its whole sha256 is verified before it is visible."""
        facts = replace(write.facts, sha256=sha256)
        with write.again() as stream, self._multipart(write.key, facts) as upload:
            reader = HashingReader(stream, write.reader.max_size)
            while part := read_up_to(reader, self._part_size):
                with translated(self.name, write.key):
                    upload.add(part)
                # Now, and not when the next part is complete: one part in memory, not two.
                part.clear()
            reader.verify(self.name, write.key, sha256)
            with self._deciding(write.key, create_only=write.create_only) as condition:
                answer = upload.complete(condition)
        return created(write.key, facts, reader.size, answer)

    def _copy_at_once(self, source: ObjectStat, target: str, *, create_only: bool) -> None:
        with self._deciding(target, source.key, create_only=create_only) as condition:
            self._bucket.patient.copy_object(
                **self._address(target),
                **condition,
                CopySource=cast("Any", self._address(source.key)),
                CopySourceIfMatch=quoted(source.etag),
            )

    def _copy_by_parts(self, source: ObjectStat, target: str, *, create_only: bool) -> None:
        """Copy what is too large for one request."""
        step = self._copy_part_size
        with self._multipart(target, facts_of(source)) as upload:
            for start in range(0, source.size, step):
                end = min(start + step, source.size)
                with translated(self.name, source.key):
                    upload.add_copy(self._address(source.key), quoted(source.etag), start, end)
            with self._deciding(target, create_only=create_only) as condition:
                upload.complete(condition)

    @contextmanager
    def _multipart(self, key: str, facts: Facts) -> Iterator[MultipartUpload]:
        """An upload that is aborted when the ``with`` is left by an error."""
        with translated(self.name, key):
            upload = MultipartUpload(self._bucket, self._prefix + key, headers(facts))
        try:
            yield upload
        except BaseException:
            upload.abort()
            raise

    @contextmanager
    def _deciding(
        self, key: str, source: str | None = None, *, create_only: bool
    ) -> Iterator[dict[str, Any]]:
        """Around the request that makes *key* visible: its condition, and what a refusal means.

        Args:
            key: What becomes visible.
            source: What a copy reads, on a condition of its own.
            create_only: Whether *key* must be free.
        """
        with translated(self.name, source or key):
            try:
                yield {"IfNoneMatch": "*"} if create_only else {}
            except ClientError as error:
                if create_only and self._is_taken(key, error, copying=source is not None):
                    raise ObjectExists(self.name, key) from error
                raise

    def _is_taken(self, key: str, error: ClientError, *, copying: bool) -> bool:
        """Whether a refusal means that the key is taken.

        A copy has two conditions, and after a conflict nobody has said who won: then we look.
        """
        if is_precondition(error) and not copying:
            return True
        return (is_precondition(error) or is_conflict(error)) and self.exists(key)

    def _get(self, key: str, asked: dict[str, Any], part: dict[str, Any]) -> Any:
        """The answer to a GET; None where the object has nothing in that range."""
        with translated(self.name, key):
            try:
                return self._bucket.client.get_object(**asked, **part)
            except ClientError as error:
                if status_of(error) == HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE:
                    return None
                raise

    def _head(self, key: str, asked: dict[str, Any]) -> ObjectStat:
        with translated(self.name, key):
            try:
                return found(key, self._bucket.client.head_object(**asked))
            except ClientError as error:
                if status_of(error) != HTTPStatus.NOT_FOUND:
                    raise
                # HEAD has no body that says what is missing: without the bucket this raises.
                self._bucket.client.head_bucket(Bucket=self._bucket.name)
                raise ObjectNotFound(self.name, key) from error

    def _delete_page(self, keys: Sequence[str]) -> None:
        """Remove at most as many objects as one request takes."""
        objects: Any = [{"Key": self._prefix + key} for key in keys]
        with translated(self.name):
            answer = self._bucket.client.delete_objects(
                Bucket=self._bucket.name, Delete={"Objects": objects, "Quiet": True}
            )
        for problem in answer.get("Errors", ()):
            error = ClientError({"Error": problem}, "DeleteObjects")
            if code_of(error) != "NoSuchKey":
                raise meaning(self.name, problem.get("Key", ""), error) from error

    def _pages(self, ask: Ask) -> Iterator[Page]:
        token, left = ask.token, ask.limit
        while True:
            page = self._page(ask, token, left)
            yield page
            token = page.token
            left = None if left is None else left - len(page.entries)
            if token is None or left == 0:
                return

    def _page(self, ask: Ask, token: str | None, left: int | None) -> Page:
        asked: dict[str, Any] = {"Delimiter": "/"} if ask.folders else {}
        if token is not None:
            asked["ContinuationToken"] = token
        with translated(self.name):
            answer = self._bucket.client.list_objects_v2(
                Bucket=self._bucket.name,
                Prefix=self._prefix + ask.prefix,
                MaxKeys=self._page_size if left is None else min(self._page_size, left),
                **asked,
            )
        return listed(answer, self._prefix)


def _conditions(part: Part) -> dict[str, str]:
    conditions = {} if part.if_match is None else {"IfMatch": quoted(part.if_match)}
    return conditions if part.version is None else conditions | {"VersionId": part.version}


def _range(part: Part) -> dict[str, Any]:
    """The part of an object to ask for; nothing for the whole, which may be empty."""
    if part.start == 0 and part.length is None:
        return {}
    end = "" if part.length is None else part.start + part.length - 1
    return {"Range": f"bytes={part.start}-{end}"}
