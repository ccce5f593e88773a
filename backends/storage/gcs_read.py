"""Reads: the facts of an object first, then the bytes of just that generation, as a stream."""

from __future__ import annotations

import contextlib
from http import HTTPStatus

from requests import Response

from uploadmill.backends.storage.base import ObjectStat
from uploadmill.backends.storage.gcs_errors import answered, translated
from uploadmill.backends.storage.gcs_objects import GoogleObjects
from uploadmill.backends.storage.skeleton import Part
from uploadmill.errors import ObjectChanged, StorageUnavailable

#: Times an object is looked up anew because it was overwritten before its bytes were asked for.
_LOOKS = 3


class GoogleReader:
    """The body of an answer; None where there was nothing to ask for.

    Args:
        store: For messages.
        stat: Of the generation that is read.
        body: Of just the part that is read.
        length: Of that part, in bytes.
    """

    def __init__(self, store: str, stat: ObjectStat, body: Response | None, length: int) -> None:
        self.stat = stat
        self._store = store
        self._body = body
        self._left = length

    def read(self, size: int, /) -> bytes:
        """At most *size* bytes; ``b""`` only at the end."""
        if size < 0:
            raise ValueError("say how many bytes to read")
        wanted = min(size, self._left)
        if self._body is None or not wanted:
            return b""
        with translated(self._store, self.stat.key):
            chunk: bytes = self._body.raw.read(wanted)
        if not chunk:
            raise StorageUnavailable(self._store, "the body ended before its announced end")
        self._left -= len(chunk)
        return chunk

    def close(self) -> None:
        """Give back the connection."""
        if self._body is not None:
            self._body.close()


def opened(objects: GoogleObjects, key: str, part: Part) -> GoogleReader:
    """A part of one state of an object.

    Raises:
        ObjectNotFound: There is none.
        ObjectChanged: Its etag is another, or it is overwritten all the time.
    """
    for _ in range(_LOOKS):
        stat = objects.described(key, objects.look_up(key, part.version))
        if part.if_match not in (None, stat.etag):
            break
        there = max(stat.size - part.start, 0)
        length = there if part.length is None else min(part.length, there)
        body = _body(objects, stat, part.start, length) if length else None
        if body is not None or not length:
            return GoogleReader(objects.store, stat, body, length)
    raise ObjectChanged(objects.store, key)


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
