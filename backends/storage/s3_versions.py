"""The kept states of objects, in a bucket that keeps any."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from uploadmill.backends.storage.objects import ObjectStat
from uploadmill.backends.storage.s3_answers import kept
from uploadmill.backends.storage.s3_errors import translated
from uploadmill.backends.storage.s3_features import of_feature
from uploadmill.backends.storage.s3_objects import S3Objects
from uploadmill.errors import Unsupported


class S3Versions:
    """What versions the objects of a store have.

    Args:
        objects: Of the store.
    """

    def __init__(self, objects: S3Objects) -> None:
        self._objects = objects
        self._are_kept: bool | None = None

    def insist(self, key: str) -> None:
        """Refuse where the bucket keeps no versions; it is asked once.

        Some servers answer with the object as it is, whatever version was asked for.

        Raises:
            Unsupported: Says so.
        """
        if self._are_kept is None:
            with of_feature(self._objects.store, key):
                answer = self._objects.bucket.client.get_bucket_versioning(
                    Bucket=self._objects.bucket.name
                )
            self._are_kept = answer.get("Status") == "Enabled"
        if not self._are_kept:
            raise Unsupported(self._objects.store, key, "versioning of its bucket is not enabled")

    def of(self, key: str) -> Iterator[ObjectStat]:
        """The versions of an object, the newest first; a delete marker is none."""
        for page in self._pages(key):
            for item in page.get("Versions", ()):
                # What was there before versioning was enabled has no version of its own.
                if item["Key"] == self._objects.prefix + key and item["VersionId"] != "null":
                    yield kept(key, item)

    def _pages(self, key: str) -> Iterator[Mapping[str, Any]]:
        """The pages that may tell of *key*; it comes before all that only begin like it."""
        address = self._objects.prefix + key
        asked: dict[str, Any] = {"Bucket": self._objects.bucket.name, "Prefix": address}
        while True:
            with translated(self._objects.store, key):
                page = self._objects.bucket.client.list_object_versions(**asked)
            yield page
            if page.get("NextKeyMarker") != address:
                return
            asked["KeyMarker"] = address
            asked["VersionIdMarker"] = page["NextVersionIdMarker"]
