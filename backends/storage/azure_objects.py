"""The blobs under a prefix of a container: found, described, or missed, whatever is done to them.

Conditions of requests are made here, and what a refusal means where the service's word is not
enough.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from http import HTTPStatus
from typing import Any

from azure.core import MatchConditions
from azure.core.exceptions import HttpResponseError
from azure.storage.blob import BlobClient, BlobProperties

from uploadmill.backends.storage.arguments import Part
from uploadmill.backends.storage.azure_answers import created, found, quoted
from uploadmill.backends.storage.azure_client import AzureContainer
from uploadmill.backends.storage.azure_errors import code_of, status_of, translated
from uploadmill.backends.storage.azure_names import blob_name
from uploadmill.backends.storage.facts import Facts
from uploadmill.backends.storage.objects import ObjectStat
from uploadmill.errors import ObjectExists, ObjectNotFound

_PERHAPS_MISSING = ("CannotVerifyCopySource", "ConditionNotMet", "SourceConditionNotMet")

#: All of the newest state.
_WHOLE = Part()


class AzureObjects:
    """What the parts of a store share.

    Args:
        store: Its configured name, for messages.
        container: Where the blobs are.
        prefix: What the keys of all objects start with; empty, or ending in a slash.
        versions: Whether versions are to be known of.
    """

    def __init__(
        self, store: str, container: AzureContainer, prefix: str, *, versions: bool
    ) -> None:
        self.store = store
        self.container = container
        self.prefix = prefix
        self._versions = versions

    def name(self, key: str) -> str:
        """The name of the blob that a key stands for."""
        return blob_name(self.prefix + key)

    def blob(self, key: str, version: str | None = None) -> BlobClient:
        """The SDK's handle of an object; nothing is asked yet."""
        return self.container.blob(self.name(key), version)

    def head(self, key: str, part: Part = _WHOLE) -> ObjectStat:
        """The facts of an object, in the state that *part* asks for.

        Raises:
            ObjectNotFound: There is none.
            ObjectChanged: It has another etag.
        """
        with self.asking(key, part) as condition:
            return self.found(key, self.blob(key, part.version).get_blob_properties(**condition))

    def exists(self, key: str) -> bool:
        """Whether there is such an object."""
        try:
            self.head(key)
        except ObjectNotFound:
            return False
        return True

    def found(self, key: str, blob: BlobProperties) -> ObjectStat:
        """The object that an answer describes."""
        return self._known(found(key, blob))

    def created(self, key: str, facts: Facts, size: int, answer: Mapping[str, Any]) -> ObjectStat:
        """The object that a request has just made."""
        return self._known(created(key, facts, size, answer))

    @contextmanager
    def asking(self, key: str, part: Part) -> Iterator[dict[str, Any]]:
        """Around a request for one state of an object; gives its condition."""
        condition: dict[str, Any] = {}
        if part.if_match is not None:
            condition["etag"] = quoted(part.if_match)
            condition["match_condition"] = MatchConditions.IfNotModified
        with translated(self.store, key):
            try:
                yield condition
            except HttpResponseError as error:
                if part.version is not None and status_of(error) == HTTPStatus.BAD_REQUEST:
                    raise ObjectNotFound(self.store, key, "no such version") from error
                self._look_for(key, error)
                raise

    @contextmanager
    def reading(self, source: str) -> Iterator[None]:
        """Around a request in which the service reads *source* for us."""
        with translated(self.store, source):
            try:
                yield
            except HttpResponseError as error:
                self._look_for(source, error)
                raise

    @contextmanager
    def deciding(
        self, key: str, source: str | None = None, *, create_only: bool
    ) -> Iterator[dict[str, Any]]:
        """Around the request that makes *key* visible; gives its condition.

        Args:
            key: What becomes visible.
            source: What a copy reads, on a condition of its own.
            create_only: Whether *key* must be free.
        """
        with self.reading(source) if source else translated(self.store, key):
            try:
                yield {"match_condition": MatchConditions.IfMissing} if create_only else {}
            except HttpResponseError as error:
                if create_only and self._is_taken(key, error, copying=source is not None):
                    raise ObjectExists(self.store, key) from error
                raise

    def _is_taken(self, key: str, error: HttpResponseError, *, copying: bool) -> bool:
        """Whether a refusal means that the key is taken.

        A copy has two conditions, and when another write came between our blocks and their list
        nobody has said so: then we look.
        """
        code = code_of(error)
        if code in ("BlobAlreadyExists", "TargetConditionNotMet"):
            return True
        if code == "ConditionNotMet" and not copying:
            return True
        return code in ("ConditionNotMet", "InvalidBlockList") and self.exists(key)

    def _look_for(self, key: str, error: HttpResponseError) -> None:
        """Say that there is no such object where the refusal means just that.

        What is not there does not have the etag that was asked for either.
        """
        if code_of(error) in _PERHAPS_MISSING and not self.exists(key):
            raise ObjectNotFound(self.store, key) from error

    def _known(self, stat: ObjectStat) -> ObjectStat:
        """Without the version where we are not to know of versions."""
        return stat if self._versions else replace(stat, version=None)
