"""What every request about an object of a bucket needs: its address, and what a refusal means."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from botocore.exceptions import ClientError

from uploadmill.backends.storage.facts import Facts
from uploadmill.backends.storage.features import Access
from uploadmill.backends.storage.objects import ObjectStat
from uploadmill.backends.storage.s3_answers import found, headers
from uploadmill.backends.storage.s3_client import S3Bucket
from uploadmill.backends.storage.s3_errors import (
    ACCESS_REFUSED,
    is_absent,
    is_conflict,
    is_forbidden,
    is_no_version,
    is_precondition,
    translated,
)
from uploadmill.backends.storage.s3_upload import MultipartUpload
from uploadmill.errors import ObjectExists, ObjectNotFound, Unsupported


class S3Objects:
    """The objects of one store.

    Args:
        store: The store's name, for messages.
        bucket: Where they are.
        prefix: What their keys start with in the bucket.
    """

    def __init__(self, store: str, bucket: S3Bucket, prefix: str) -> None:
        self.store = store
        self.bucket = bucket
        self.prefix = prefix

    def address(self, key: str) -> dict[str, Any]:
        """A key as arguments of a request."""
        return {"Bucket": self.bucket.name, "Key": self.prefix + key}

    def head(self, key: str, conditions: Mapping[str, Any] | None = None) -> ObjectStat:
        """The facts of an object, or of the version that *conditions* name.

        Raises:
            ObjectNotFound: No such object, or no such version.
        """
        with translated(self.store, key):
            try:
                answer = self.bucket.client.head_object(**self.address(key), **(conditions or {}))
                return found(key, answer)
            except ClientError as error:
                asks_version = "VersionId" in (conditions or {})
                if not (is_absent(error) or (asks_version and is_no_version(error))):
                    raise
                # HEAD has no body that says what is missing: without the bucket this raises.
                self.bucket.client.head_bucket(Bucket=self.bucket.name)
                raise ObjectNotFound(self.store, key) from error

    def exists(self, key: str) -> bool:
        """Whether there is such an object."""
        try:
            self.head(key)
        except ObjectNotFound:
            return False
        return True

    @contextmanager
    def multipart(
        self, key: str, facts: Facts, access: Access | None = None
    ) -> Iterator[MultipartUpload]:
        """An upload that is aborted when the ``with`` is left by an error.

        Raises:
            Unsupported: The bucket refuses just this *access*; no part was sent.
        """
        with translated(self.store, key):
            upload = self._begin(key, facts, access)
        try:
            yield upload
        except BaseException:
            upload.abort()
            raise

    def _begin(self, key: str, facts: Facts, access: Access | None) -> MultipartUpload:
        asked = headers(facts)
        try:
            acl = {} if access is None else {"ACL": access.value}
            return MultipartUpload(self.bucket, self.address(key), asked | acl)
        except ClientError as error:
            if access is None or not is_forbidden(error):
                raise
            # Who is let in without it is refused for its sake; for the others this raises.
            MultipartUpload(self.bucket, self.address(key), asked).abort()
            raise Unsupported(self.store, key, ACCESS_REFUSED) from error

    @contextmanager
    def deciding(
        self, key: str, source: str | None = None, *, create_only: bool
    ) -> Iterator[dict[str, Any]]:
        """Around the request that makes *key* visible: its condition, and what a refusal means.

        Args:
            key: What becomes visible.
            source: What a copy reads, on a condition of its own.
            create_only: Whether *key* must be free.
        """
        with translated(self.store, source or key):
            try:
                yield {"IfNoneMatch": "*"} if create_only else {}
            except ClientError as error:
                if create_only and self._is_taken(key, error, copying=source is not None):
                    raise ObjectExists(self.store, key) from error
                raise

    def _is_taken(self, key: str, error: ClientError, *, copying: bool) -> bool:
        """Whether a refusal means that the key is taken.

        A copy has two conditions, and after a conflict nobody has said who won: then we look.
        """
        if is_precondition(error) and not copying:
            return True
        return (is_precondition(error) or is_conflict(error)) and self.exists(key)
