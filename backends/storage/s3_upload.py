"""Multipart uploads and copies: parts one after another, finished on condition, or aborted."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import Any, Final, cast

from botocore.exceptions import BotoCoreError, ClientError

from uploadmill.backends.storage.s3_client import S3Bucket

#: What S3 allows.
MAX_PARTS = 10_000

#: Each part's checksum, verified by the server. A fifth of sha256's CPU (2 ms for 8 MiB against
#: 5), and enough against the network: the whole is checked by our own sha256.
_CHECKSUM: Final = "CRC32"


class MultipartUpload:
    """An upload whose parts are on the server and whose object is not visible yet.

    Errors are boto3's: the store that uses it translates them.

    Args:
        bucket: Where to.
        key: In the bucket.
        headers: Content type and metadata of the object.
    """

    def __init__(self, bucket: S3Bucket, key: str, headers: Mapping[str, Any]) -> None:
        self._bucket = bucket
        self._address: dict[str, Any] = {"Bucket": bucket.name, "Key": key}
        self._parts: list[Any] = []
        answer = bucket.client.create_multipart_upload(
            **self._address, ChecksumAlgorithm=_CHECKSUM, **headers
        )
        self._id = answer["UploadId"]

    def add(self, content: bytearray) -> None:
        """Send the next part."""
        number = len(self._parts) + 1
        answer = self._bucket.client.upload_part(
            **self._address,
            UploadId=self._id,
            PartNumber=number,
            Body=cast("bytes", content),
            ChecksumAlgorithm=_CHECKSUM,
        )
        self._keep(number, answer)

    def add_copy(self, source: Mapping[str, str], etag: str, start: int, end: int) -> None:
        """Have the server copy bytes *start* to *end* (not included) of *source* as next part."""
        number = len(self._parts) + 1
        answer = self._bucket.patient.upload_part_copy(
            **self._address,
            UploadId=self._id,
            PartNumber=number,
            CopySource=cast("Any", source),
            CopySourceIfMatch=etag,
            CopySourceRange=f"bytes={start}-{end - 1}",
        )
        self._keep(number, answer["CopyPartResult"])

    def complete(self, condition: Mapping[str, Any]) -> Mapping[str, Any]:
        """Make the object visible, if *condition* holds; the answer has its etag and version."""
        return self._bucket.patient.complete_multipart_upload(
            **self._address,
            UploadId=self._id,
            MultipartUpload={"Parts": self._parts},
            **condition,
        )

    def abort(self) -> None:
        """Have the server forget the parts; if it does not answer, its lifecycle rules will."""
        with contextlib.suppress(BotoCoreError, ClientError, OSError):
            self._bucket.brisk.abort_multipart_upload(**self._address, UploadId=self._id)

    def _keep(self, number: int, answer: Mapping[str, Any]) -> None:
        part = {"PartNumber": number, "ETag": answer["ETag"]}
        if "ChecksumCRC32" in answer:
            part["ChecksumCRC32"] = answer["ChecksumCRC32"]
        self._parts.append(part)


def unfinished(bucket: S3Bucket, prefix: str) -> Iterator[tuple[str, str, datetime]]:
    """Key, id and begin of every upload to *prefix* that was neither completed nor aborted."""
    pager = bucket.client.get_paginator("list_multipart_uploads")
    for page in pager.paginate(Bucket=bucket.name, Prefix=prefix):
        for item in page.get("Uploads", ()):
            # Not every server heeds the prefix, and what is not ours is not to be seen here.
            if item["Key"].startswith(prefix):
                yield item["Key"], item["UploadId"], item["Initiated"]
