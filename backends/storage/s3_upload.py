"""Multipart uploads and copies: parts in any order, finished on condition, or aborted."""

from __future__ import annotations

import base64
import contextlib
from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import Any, Final, cast

from botocore.exceptions import BotoCoreError, ClientError

from uploadmill.backends.storage.s3_answers import told
from uploadmill.backends.storage.s3_body import HeldBody
from uploadmill.backends.storage.s3_client import S3Bucket

#: What S3 allows.
MAX_PARTS = 10_000

#: Each part's checksum: it travels in a signed header and is verified by the server, so the body
#: itself need not be signed, and whoever knows it beforehand knows which bytes have arrived.
_CHECKSUM: Final = "SHA256"


class MultipartUpload:
    """An upload whose parts are on the server and whose object is not visible yet.

    Errors are boto3's: the store that uses it translates them.

    Args:
        bucket: Where to.
        address: Bucket and key.
        headers: Content type, metadata and access of the object.
    """

    def __init__(
        self, bucket: S3Bucket, address: Mapping[str, Any], headers: Mapping[str, Any]
    ) -> None:
        self._bucket = bucket
        self._address: Any = dict(address)
        self._parts: dict[int, Any] = {}
        answer = bucket.client.create_multipart_upload(
            **self._address, ChecksumAlgorithm=_CHECKSUM, **headers
        )
        self._id = told(answer, "UploadId")

    def add(self, number: int, content: bytearray | memoryview, sha256: bytes) -> bool:
        """Send a part, the first being number 1; several threads may do so at once.

        Returns:
            Whether the server says that it has verified the part's sha256.
        """
        given = base64_of(sha256)
        answer = self._bucket.sender.upload_part(
            **self._address,
            UploadId=self._id,
            PartNumber=number,
            Body=cast("Any", HeldBody(content)),
            ContentLength=len(content),
            ChecksumSHA256=given,
        )
        self._keep(number, answer)
        return answer.get("ChecksumSHA256") == given

    def add_copy(
        self, number: int, source: Mapping[str, str], etag: str, start: int, end: int
    ) -> None:
        """Have the server copy bytes *start* to *end* (not included) of *source* as a part."""
        answer = self._bucket.patient.upload_part_copy(
            **self._address,
            UploadId=self._id,
            PartNumber=number,
            CopySource=cast("Any", source),
            CopySourceIfMatch=etag,
            CopySourceRange=f"bytes={start}-{end - 1}",
        )
        self._keep(number, told(answer, "CopyPartResult"))

    def complete(self, condition: Mapping[str, Any]) -> Mapping[str, Any]:
        """Make the object visible, if *condition* holds; the answer has its etag and version."""
        return self._bucket.patient.complete_multipart_upload(
            **self._address,
            UploadId=self._id,
            MultipartUpload={"Parts": [part for _, part in sorted(self._parts.items())]},
            **condition,
        )

    def abort(self) -> None:
        """Have the server forget the parts; if it does not answer, its lifecycle rules will."""
        with contextlib.suppress(BotoCoreError, ClientError, OSError):
            self._bucket.brisk.abort_multipart_upload(**self._address, UploadId=self._id)

    def _keep(self, number: int, answer: Mapping[str, Any]) -> None:
        part = {"PartNumber": number, "ETag": told(answer, "ETag")}
        if "ChecksumSHA256" in answer:
            part["ChecksumSHA256"] = answer["ChecksumSHA256"]
        self._parts[number] = part


def base64_of(digest: bytes) -> str:
    """A digest as S3's headers carry it."""
    return base64.b64encode(digest).decode()


def unfinished(bucket: S3Bucket, prefix: str) -> Iterator[tuple[str, str, datetime]]:
    """Key, id and begin of every upload to *prefix* that was neither completed nor aborted."""
    pager = bucket.client.get_paginator("list_multipart_uploads")
    for page in pager.paginate(Bucket=bucket.name, Prefix=prefix):
        for item in page.get("Uploads", ()):
            # Not every server heeds the prefix, and what is not ours is not to be seen here.
            if item["Key"].startswith(prefix):
                yield item["Key"], item["UploadId"], item["Initiated"]
