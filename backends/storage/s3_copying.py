"""Copy inside a bucket, at any size, without moving a byte ourselves."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, cast

from uploadmill.backends.storage.facts import facts_of
from uploadmill.backends.storage.objects import ObjectStat
from uploadmill.backends.storage.s3_answers import quoted
from uploadmill.backends.storage.s3_errors import translated
from uploadmill.backends.storage.s3_objects import S3Objects


@dataclass(frozen=True, slots=True)
class S3Copier:
    """Has the server copy.

    Attributes:
        objects: Of the store.
        limit: Bytes of the largest object copied in one request.
        part_size: Bytes of a part of a larger one.
    """

    objects: S3Objects
    limit: int
    part_size: int

    def copy(
        self, source: ObjectStat, target: str, *, create_only: bool, version: str | None = None
    ) -> None:
        """Copy just this state of *source*, with everything but its access.

        Args:
            source: As it was found.
            target: Its key.
            create_only: Whether *target* must be free.
            version: Which version of *source* that is; None: the newest.
        """
        address = self.objects.address(source.key)
        if version is not None:
            address["VersionId"] = version
        if source.size > self.limit:
            self._by_parts(source, address, target, create_only=create_only)
        else:
            self._at_once(source, address, target, create_only=create_only)

    def _at_once(
        self, source: ObjectStat, address: Mapping[str, Any], target: str, *, create_only: bool
    ) -> None:
        with self.objects.deciding(target, source.key, create_only=create_only) as condition:
            self.objects.bucket.patient.copy_object(
                **self.objects.address(target),
                **condition,
                CopySource=cast("Any", address),
                CopySourceIfMatch=quoted(source.etag),
            )

    def _by_parts(
        self, source: ObjectStat, address: Mapping[str, Any], target: str, *, create_only: bool
    ) -> None:
        with self.objects.multipart(target, facts_of(source)) as upload:
            for number, start in enumerate(range(0, source.size, self.part_size), 1):
                end = min(start + self.part_size, source.size)
                with translated(self.objects.store, source.key):
                    upload.add_copy(number, address, quoted(source.etag), start, end)
            with self.objects.deciding(target, create_only=create_only) as condition:
                upload.complete(condition)
