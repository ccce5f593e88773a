"""The objects under a prefix of a bucket: found, described, or missed, whatever is done to them."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from google.api_core.exceptions import NotFound

from uploadmill.backends.storage.facts import Facts
from uploadmill.backends.storage.features import Feature
from uploadmill.backends.storage.gcs_answers import created, found
from uploadmill.backends.storage.gcs_client import GoogleBucket
from uploadmill.backends.storage.gcs_errors import says_no_such_object, translated
from uploadmill.backends.storage.objects import ObjectStat
from uploadmill.errors import ObjectNotFound

_NUMBER = re.compile(r"[1-9][0-9]{0,18}")

#: The generations that there can be have 63 bits.
_GENERATIONS = range(1, 1 << 63)


class GoogleObjects:
    """What the parts of a store share.

    Args:
        store: Its configured name, for messages.
        bucket: Where the objects are.
        prefix: What their names start with; empty, or ending in a slash.
    """

    def __init__(self, store: str, bucket: GoogleBucket, prefix: str) -> None:
        self.store = store
        self.bucket = bucket
        self.prefix = prefix

    def lacks(self) -> Mapping[Feature, str]:
        """What the bucket does not have, and why."""
        with translated(self.store):
            return self.bucket.lacks()

    def blob(self, key: str, generation: int | None = None) -> Any:
        """Google's handle of an object; nothing is asked yet."""
        with translated(self.store, key):
            return self.bucket.connection.bucket.blob(self.prefix + key, generation=generation)

    def look_up(self, key: str, version: str | None = None) -> Any:
        """Google's handle of an object, or of one of its versions, with all that is known of it.

        Raises:
            ObjectNotFound: There is none.
        """
        generation = None if version is None else generation_of(version)
        if version is not None and generation is None:
            raise ObjectNotFound(self.store, key, "no such version")
        blob = self.blob(key, generation)
        with self.asking(key):
            blob.reload(**self.bucket.how())
        return blob

    def exists(self, key: str) -> bool:
        """Whether there is such an object."""
        try:
            self.look_up(key)
        except ObjectNotFound:
            return False
        return True

    @contextmanager
    def asking(self, key: str) -> Iterator[None]:
        """Around a request about an object: a 404 may be the object's, or the bucket's."""
        with translated(self.store, key):
            try:
                yield
            except NotFound as error:
                if not says_no_such_object(error):
                    self.look_at_bucket()
                raise ObjectNotFound(self.store, key) from error

    def look_at_bucket(self) -> None:
        """Raise what is wrong with the bucket; nothing, where it can be listed."""
        with translated(self.store):
            connection = self.bucket.connection
            page = connection.client.list_blobs(
                connection.bucket,
                prefix=self.prefix,
                max_results=1,
                fields="nextPageToken",
                **self.bucket.how("brisk"),
            )
            next(page.pages, None)

    @property
    def versions(self) -> bool:
        """Whether the bucket keeps any."""
        return Feature.VERSIONS not in self.lacks()

    def described(self, key: str, blob: Any) -> ObjectStat:
        """The object behind Google's handle."""
        return found(key, blob, versions=self.versions)

    def created(self, key: str, facts: Facts, size: int, answer: Mapping[str, Any]) -> ObjectStat:
        """The object that an upload has just made."""
        return created(key, facts, size, answer, versions=self.versions)


def generation_of(text: str) -> int | None:
    """The generation that an etag, or the name of a version, names; None where it names none."""
    generation = int(text) if _NUMBER.fullmatch(text) else 0
    return generation if generation in _GENERATIONS else None
