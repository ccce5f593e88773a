"""Read an object of a bucket, or a part of it, as a stream of one state."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from http import HTTPStatus
from typing import Any

from botocore.exceptions import ClientError

from uploadmill.backends.storage.arguments import Part
from uploadmill.backends.storage.objects import ObjectStat
from uploadmill.backends.storage.one_state import beginning
from uploadmill.backends.storage.reader import ObjectReader
from uploadmill.backends.storage.s3_answers import found, quoted
from uploadmill.backends.storage.s3_errors import is_no_version, status_of, translated
from uploadmill.backends.storage.s3_objects import S3Objects
from uploadmill.errors import ObjectNotFound, StorageUnavailable


@contextmanager
def opened(objects: S3Objects, key: str, part: Part) -> Iterator[ObjectReader]:
    """An object, or *part* of it.

    Raises:
        ObjectNotFound: No such object, or no such version.
        ObjectChanged: It is not the one that *part* asks for, or is overwritten all the time.
    """
    conditions = _conditions(part)
    answer = beginning(
        objects.store,
        key,
        part,
        lambda: _get(objects, key, part, conditions),
        lambda: objects.head(key, conditions),
    )
    if isinstance(answer, ObjectStat):
        yield ObjectReader(objects.store, answer)
        return
    with contextlib.closing(answer["Body"]) as body:
        with translated(objects.store, key):
            stat = found(key, answer)
        length = part.length_of(stat.size)
        if answer["ContentLength"] != length:
            raise StorageUnavailable(objects.store, "the server sent another part than asked for")
        yield ObjectReader(objects.store, stat, length, translated(objects.store, key)(body.read))


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
