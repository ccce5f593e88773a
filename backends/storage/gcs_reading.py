"""Reads: the facts of an object first, then the bytes of just that generation, as a stream."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from contextlib import contextmanager
from http import HTTPStatus

from requests import Response

from uploadmill.backends.storage.arguments import Part
from uploadmill.backends.storage.gcs_errors import answered, translated
from uploadmill.backends.storage.gcs_objects import GoogleObjects
from uploadmill.backends.storage.objects import ObjectStat
from uploadmill.backends.storage.one_state import LOOKS, overtaken
from uploadmill.backends.storage.reader import ObjectReader
from uploadmill.errors import ObjectChanged, StorageUnavailable


@contextmanager
def opened(objects: GoogleObjects, key: str, part: Part) -> Iterator[ObjectReader]:
    """A part of one state of an object.

    Raises:
        ObjectNotFound: There is none.
        ObjectChanged: Its etag is another, or it is overwritten all the time.
    """
    stat, body = _found(objects, key, part)
    if body is None:
        yield ObjectReader(objects.store, stat)
        return
    with contextlib.closing(body):
        fetch = translated(objects.store, key)(body.raw.read)
        yield ObjectReader(objects.store, stat, part.length_of(stat.size), fetch)


def _found(objects: GoogleObjects, key: str, part: Part) -> tuple[ObjectStat, Response | None]:
    """An object and the answer that streams the part; None where that has no bytes."""
    for _ in range(LOOKS):
        stat = objects.described(key, objects.look_up(key, part.version))
        if part.if_match not in (None, stat.etag):
            raise ObjectChanged(objects.store, key)
        length = part.length_of(stat.size)
        body = _body(objects, stat, part.start, length) if length else None
        if body is not None or not length:
            return stat, body
    raise overtaken(objects.store, key)


def _body(objects: GoogleObjects, stat: ObjectStat, start: int, length: int) -> Response | None:
    """The answer that streams a part of one generation; None where that has gone."""
    with translated(objects.store, stat.key), contextlib.ExitStack() as on_failure:
        answer = _ask(objects, stat, start, length)
        on_failure.callback(answer.close)
        if answer.status_code == HTTPStatus.NOT_FOUND:
            return None
        if answer.status_code not in (HTTPStatus.OK, HTTPStatus.PARTIAL_CONTENT):
            raise answered(answer)
        if answer.headers.get("Content-Length") != str(length):
            raise StorageUnavailable(objects.store, "the server sent another part than asked for")
        on_failure.pop_all()
        return answer


def _ask(objects: GoogleObjects, stat: ObjectStat, start: int, length: int) -> Response:
    """Ask for a part of one generation; nothing of its body is read."""
    # What is stored compressed comes as it is stored, so that size and sha256 are right.
    headers = {"Accept-Encoding": "gzip"}
    if length < stat.size:
        headers["Range"] = f"bytes={start}-{start + length - 1}"
    access = objects.bucket.access
    return objects.bucket.connection.session.get(
        f"{access.endpoint}/download/storage/v1{objects.blob(stat.key).path}",
        params={"alt": "media", "generation": stat.etag},
        headers=headers,
        timeout=access.timeouts("usual"),
        stream=True,
    )
