"""Uploads as Google's JSON API has them: a small object in one request, a large one by chunks.

Google's client can do both, but it gives up where the server kept less of a chunk than was sent,
and puts a small object together in memory a second time. Here nothing is tried again either.
"""

from __future__ import annotations

import base64
import contextlib
import json
import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Any

from google.api_core.exceptions import GoogleAPICallError, ServiceUnavailable
from google.auth.exceptions import GoogleAuthError
from google_crc32c import Checksum
from requests import Response
from requests.exceptions import RequestException

from uploadmill.backends.storage.body import Body
from uploadmill.backends.storage.gcs_client import GoogleBucket
from uploadmill.backends.storage.gcs_errors import answered
from uploadmill.backends.storage.sources import CHUNK
from uploadmill.backends.storage.timeouts import Silence

#: Chunks but the last must be a multiple of this.
CHUNK_UNIT = 256 << 10


@dataclass(frozen=True, slots=True)
class NewObject:
    """What an upload is to make.

    Attributes:
        resource: The object as the API describes it.
        conditions: As parameters of the request: when, and with which access.
    """

    resource: Mapping[str, Any]
    conditions: Mapping[str, Any] = field(default_factory=dict)


class Crc32c:
    """The checksum that Google keeps of every object, as text."""

    def __init__(self) -> None:
        self._sum = Checksum()

    def update(self, content: bytes | bytearray) -> None:
        """Go on with *content*."""
        view = memoryview(content)
        for start in range(0, len(view), CHUNK):
            self._sum.update(bytes(view[start : start + CHUNK]))

    def __str__(self) -> str:
        return base64.b64encode(self._sum.digest()).decode()


def insert(bucket: GoogleBucket, new: NewObject, content: bytearray) -> Mapping[str, Any]:
    """Make an object in one request; the server compares its checksum.

    Returns:
        The object as the API describes it.
    """
    checksum = Crc32c()
    checksum.update(content)
    boundary = secrets.token_hex(16)
    described = json.dumps({**new.resource, "crc32c": str(checksum)})
    kind = new.resource["contentType"]
    head = (
        f"--{boundary}\r\nContent-Type: application/json; charset=UTF-8\r\n\r\n{described}\r\n"
        f"--{boundary}\r\nContent-Type: {kind}\r\n\r\n"
    )
    body = Body(head.encode(), content, f"\r\n--{boundary}--\r\n".encode())
    response = bucket.connection.session.post(
        _address(bucket),
        params={"uploadType": "multipart", **new.conditions},
        data=body,
        headers={"Content-Type": f"multipart/related; boundary={boundary}"},
        timeout=bucket.access.timeouts("usual"),
    )
    return _made(response)


class ResumableUpload:
    """An upload whose object is not visible before its last chunk has arrived.

    Errors are those of Google's client: the store that uses it translates them.

    Args:
        bucket: Where to.
        new: The object.
    """

    def __init__(self, bucket: GoogleBucket, new: NewObject) -> None:
        self._bucket = bucket
        self._checksum = Crc32c()
        self._sent = 0
        response = bucket.connection.session.post(
            _address(bucket),
            params={"uploadType": "resumable", "name": new.resource["name"], **new.conditions},
            json=new.resource,
            headers={"X-Upload-Content-Type": new.resource["contentType"]},
            timeout=bucket.access.timeouts("usual"),
        )
        if response.status_code != HTTPStatus.OK:
            raise answered(response)
        #: As good as a credential until the upload has ended: in no message.
        self._uri: str = response.headers["Location"]

    def send(self, chunk: bytearray, *, last: bool) -> Mapping[str, Any] | None:
        """Send the next chunk, as often as it takes until the server has kept all of it.

        Args:
            chunk: A multiple of :data:`CHUNK_UNIT`, but for the last one; not empty.
            last: Whether the object ends here.

        Returns:
            After the last chunk, the object as the API describes it.
        """
        self._checksum.update(chunk)
        start, end = self._sent, self._sent + len(chunk)
        while self._sent < end:
            response = self._put(memoryview(chunk)[self._sent - start :], end, last=last)
            if last and response.status_code in (HTTPStatus.OK, HTTPStatus.CREATED):
                return _made(response)
            kept = _kept(response)
            if kept <= self._sent:
                raise ServiceUnavailable("the server kept nothing of what was sent")
            self._sent = kept
        if last:
            raise ServiceUnavailable("the server has everything and made no object")
        return None

    def cancel(self) -> None:
        """Have the server forget the upload; if it does not answer, it does so after a week."""
        with contextlib.suppress(GoogleAPICallError, GoogleAuthError, RequestException, OSError):
            self._bucket.connection.session.delete(
                self._uri, timeout=self._bucket.access.timeouts("brisk")
            )

    def _put(self, rest: memoryview, end: int, *, last: bool) -> Response:
        """Send *rest*, which goes up to byte *end* of the object."""
        total = str(end) if last else "*"
        headers = {"Content-Range": f"bytes {self._sent}-{end - 1}/{total}"}
        if last:
            headers["X-Goog-Hash"] = f"crc32c={self._checksum}"
        silence: Silence = "long" if last else "usual"
        try:
            return self._bucket.connection.session.put(
                self._uri,
                data=Body(rest),
                headers=headers,
                timeout=self._bucket.access.timeouts(silence),
                allow_redirects=False,
            )
        except RequestException as error:
            # The original's text holds the upload's address.
            raise type(error) from None


def _address(bucket: GoogleBucket) -> str:
    return f"{bucket.access.endpoint}/upload{bucket.objects}"


def _made(response: Response) -> Mapping[str, Any]:
    """The object that an answer describes."""
    if response.status_code not in (HTTPStatus.OK, HTTPStatus.CREATED):
        raise answered(response)
    made: Mapping[str, Any] = response.json()
    return made


def _kept(response: Response) -> int:
    """Bytes of the object that the server has, as it answers to all chunks but the last."""
    if response.status_code == HTTPStatus.NOT_FOUND:
        # The upload has gone, not the bucket: that was there when it began.
        raise ServiceUnavailable("the server has forgotten the upload")
    if response.status_code != HTTPStatus.PERMANENT_REDIRECT:
        raise answered(response)
    _, _, last = response.headers.get("Range", "").rpartition("-")
    return int(last) + 1 if last.isdecimal() else 0
