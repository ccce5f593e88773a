"""Conditions of requests, and what a refusal means where the service's word is not enough."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from http import HTTPStatus
from typing import Any

from azure.core import MatchConditions
from azure.core.exceptions import HttpResponseError

from uploadmill.backends.storage.arguments import Part
from uploadmill.backends.storage.azure_answers import quoted
from uploadmill.backends.storage.azure_errors import code_of, status_of, translated
from uploadmill.backends.storage.base import Storage
from uploadmill.errors import ObjectExists, ObjectNotFound

_PERHAPS_MISSING = ("CannotVerifyCopySource", "ConditionNotMet", "SourceConditionNotMet")


@contextmanager
def deciding(
    store: Storage, key: str, source: str | None = None, *, create_only: bool
) -> Iterator[dict[str, Any]]:
    """Around the request that makes *key* visible; gives its condition.

    Args:
        store: In which.
        key: What becomes visible.
        source: What a copy reads, on a condition of its own.
        create_only: Whether *key* must be free.
    """
    with reading(store, source) if source else translated(store.name, key):
        try:
            yield {"match_condition": MatchConditions.IfMissing} if create_only else {}
        except HttpResponseError as error:
            if create_only and _is_taken(store, key, error, copying=source is not None):
                raise ObjectExists(store.name, key) from error
            raise


def _is_taken(store: Storage, key: str, error: HttpResponseError, *, copying: bool) -> bool:
    """Whether a refusal means that the key is taken.

    A copy has two conditions, and when another write came between our blocks and their list
    nobody has said so: then we look.
    """
    code = code_of(error)
    if code in ("BlobAlreadyExists", "TargetConditionNotMet"):
        return True
    if code == "ConditionNotMet" and not copying:
        return True
    return code in ("ConditionNotMet", "InvalidBlockList") and store.exists(key)


@contextmanager
def reading(store: Storage, source: str) -> Iterator[None]:
    """Around a request in which the service reads *source* for us."""
    with translated(store.name, source):
        try:
            yield
        except HttpResponseError as error:
            _look_for(store, source, error)
            raise


@contextmanager
def asking(store: Storage, key: str, part: Part) -> Iterator[dict[str, Any]]:
    """Around a request for one state of an object; gives its condition."""
    condition: dict[str, Any] = {}
    if part.if_match is not None:
        condition["etag"] = quoted(part.if_match)
        condition["match_condition"] = MatchConditions.IfNotModified
    with translated(store.name, key):
        try:
            yield condition
        except HttpResponseError as error:
            if part.version is not None and status_of(error) == HTTPStatus.BAD_REQUEST:
                raise ObjectNotFound(store.name, key, "no such version") from error
            _look_for(store, key, error)
            raise


def _look_for(store: Storage, key: str, error: HttpResponseError) -> None:
    """Say that there is no such object where the refusal means just that.

    What is not there does not have the etag that was asked for either.
    """
    if code_of(error) in _PERHAPS_MISSING and not store.exists(key):
        raise ObjectNotFound(store.name, key) from error
