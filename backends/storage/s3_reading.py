"""Read an object of a bucket, or a part of it, as a stream of one state."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

from botocore.exceptions import ClientError

from uploadmill.backends.storage.base import ObjectStat
from uploadmill.backends.storage.s3_answers import found, quoted
from uploadmill.backends.storage.s3_errors import is_no_version, status_of, translated
from uploadmill.backends.storage.s3_objects import S3Objects
from uploadmill.backends.storage.skeleton import Part
from uploadmill.errors import ObjectNotFound, StorageUnavailable

if TYPE_CHECKING:
    from botocore.response import StreamingBody


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


@contextmanager
def opened(objects: S3Objects, key: str, part: Part) -> Iterator[S3Reader]:
    """An object, or *part* of it.

    Raises:
        ObjectNotFound: No such object, or no such version.
        ObjectChanged: It is not the one that *part* asks for.
    """
    conditions = _conditions(part)
    answer = None if part.length == 0 else _get(objects, key, part, conditions)
    with contextlib.ExitStack() as stack:
        if answer is None:
            stat = objects.head(key, conditions)
        else:
            stack.enter_context(contextlib.closing(answer["Body"]))
            with translated(objects.store, key):
                stat = found(key, answer)
        if part.version is not None and stat.version != part.version:
            raise ObjectNotFound(objects.store, key, "not in this version")
        yield S3Reader(objects.store, stat, answer)


def _get(objects: S3Objects, key: str, part: Part, conditions: Mapping[str, Any]) -> Any:
    """The answer to a GET; None where the object has nothing in that range."""
    with translated(objects.store, key):
        try:
            return objects.bucket.client.get_object(
                **objects.address(key), **conditions, **_range(part)
            )
        except ClientError as error:
            if status_of(error) == HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE:
                return None
            if part.version is not None and is_no_version(error):
                raise ObjectNotFound(objects.store, key, "not in this version") from error
            raise


def _conditions(part: Part) -> dict[str, str]:
    conditions = {} if part.if_match is None else {"IfMatch": quoted(part.if_match)}
    return conditions if part.version is None else conditions | {"VersionId": part.version}


def _range(part: Part) -> dict[str, Any]:
    """The part of an object to ask for; nothing for the whole, which may be empty."""
    if part.start == 0 and part.length is None:
        return {}
    end = "" if part.length is None else part.start + part.length - 1
    return {"Range": f"bytes={part.start}-{end}"}
