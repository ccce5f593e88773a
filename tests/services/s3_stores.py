"""S3 stores for tests: on the real server, and on one that answers what the test prepared."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import boto3

from services.seaweed import Seaweed
from uploadmill.backends.storage.s3 import S3Storage

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

BUCKET = "uploadmill-tests"

#: The smallest part that S3 takes.
PART = 5 << 20

#: What SeaweedFS 4.48 does wrong, seen with plain boto3 too.
SERVER_FAULTS = {
    # It does not decide atomically between uploads in parts that are completed at the same
    # moment. Small objects, envelopes and outcomes, it does; large ones have keys made of their
    # sha256, so two winners write the same bytes.
    "put_create_only_has_one_winner_when_large",
    # It ignores the access list that a put or an upload in parts asks for, and keeps the owner's;
    # PutObjectAcl it heeds.
    "access_levels_are_kept",
}

#: What a canned answer to a HEAD or a PUT says.
HEAD = {
    "ETag": '"abc"',
    "Last-Modified": "Mon, 23 Nov 2026 00:00:00 GMT",
    "Content-Length": "5",
}

#: What a canned answer to the beginning of an upload by parts says.
STARTED = b"<InitiateMultipartUploadResult><UploadId>1</UploadId></InitiateMultipartUploadResult>"


def new_store(server: Seaweed, **options: Any) -> S3Storage:
    """A store in :data:`BUCKET`, patient with a busy machine; to be closed."""
    defaults: dict[str, Any] = {
        "bucket": BUCKET,
        "base_path": "made",
        "name": "primary",
        "endpoint_url": server.endpoint,
        "region": "us-east-1",
        "access_key": server.access_key,
        "secret_key": server.secret_key,
        "read_timeout": 20.0,
    }
    return S3Storage(**defaults | options)


def boto(server: Seaweed) -> S3Client:
    """A client as boto3 makes it; to be closed."""
    return boto3.client(
        "s3",
        endpoint_url=server.endpoint,
        region_name="us-east-1",
        aws_access_key_id=server.access_key,
        aws_secret_access_key=server.secret_key,
    )


def xml(code: str) -> bytes:
    """An error as S3 tells it, with what must not get into a message."""
    text = f"<Error><Code>{code}</Code><Message>https://x.test/?X-Amz-Signature=1</Message></Error>"
    return f'<?xml version="1.0" encoding="UTF-8"?>\n{text}'.encode()
