"""A proxy before an S3 server that refuses access levels, as AWS does by a bucket's settings."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Literal
from urllib.parse import parse_qs, urlsplit

from services.s3_proxy import Handler, Request, s3_proxy

#: ``no lists``: the bucket has access lists disabled, as all have that are made today.
#: ``not public``: Block Public Access. ``not allowed``: we may neither set nor read a list.
Settings = Literal["no lists", "not public", "not allowed"]

_NOT_SUPPORTED = (HTTPStatus.BAD_REQUEST, "AccessControlListNotSupported")
_DENIED = (HTTPStatus.FORBIDDEN, "AccessDenied")


@dataclass
class Levels:
    """What a bucket with such settings has been asked.

    Attributes:
        endpoint: Of the proxy.
        sent: Method and path of each request that had a body, and its bytes.
    """

    settings: Settings
    endpoint: str = ""
    sent: list[tuple[str, str, int]] = field(default_factory=list)

    def __call__(self, handler: Handler, request: Request) -> None:
        if request.body:
            self.sent.append((request.method, request.path, len(request.body)))
        refusal = self._refusal(request)
        if refusal is None:
            handler.pass_on(request)
        else:
            handler.say_error(*refusal)

    def _refusal(self, request: Request) -> tuple[HTTPStatus, str] | None:
        headers = {name.lower(): value for name, value in request.headers.items()}
        level, reads = headers.get("x-amz-acl"), _reads_list(request)
        if self.settings == "not allowed":
            return _DENIED if level or reads else None
        if self.settings == "no lists":
            return _NOT_SUPPORTED if level else None
        return _DENIED if level == "public-read" else None


def _reads_list(request: Request) -> bool:
    query = parse_qs(urlsplit(request.path).query, keep_blank_values=True)
    return request.method == "GET" and "acl" in query


@contextlib.contextmanager
def refusing_levels(target_port: int, settings: Settings) -> Iterator[Levels]:
    """Run such a proxy in front of a server on loopback."""
    levels = Levels(settings)
    with s3_proxy(target_port) as between:
        between.fault, levels.endpoint = levels, between.endpoint
        yield levels
