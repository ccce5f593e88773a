"""A memory store behind a web server of its own: addresses and forms signed with an HMAC."""

from __future__ import annotations

import hashlib
import hmac
import json
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from email.message import Message
from email.parser import BytesParser
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, quote, unquote, urlencode, urlsplit

from uploadmill.backends.storage.features import Feature, PresignedUpload
from uploadmill.backends.storage.memory import MemoryStorage

SECRET = b"of this test"


def signature(*parts: object) -> str:
    return hmac.new(SECRET, json.dumps(parts).encode(), hashlib.sha256).hexdigest()


class ServedMemory(MemoryStorage):
    """What :func:`served` gives an address."""

    def __init__(self, address: str = "", **options: Any) -> None:
        super().__init__(versions=True, **options)
        self.address = address
        for feature in (Feature.SIGNED_URLS, Feature.PRESIGNED_UPLOADS):
            del self.lacks[feature]

    def _signed_url(self, key: str, expires: float, disposition: str | None) -> str:
        until = time.time() + expires
        query = {"until": until, "disposition": disposition or ""}
        query["signature"] = signature(key, until, disposition or "")
        return f"{self.address}/{quote(key)}?{urlencode(query)}"

    def _presigned_upload(
        self, key: str, content_type: str, sizes: range, expires: float
    ) -> PresignedUpload:
        policy = json.dumps([key, content_type, sizes.start, sizes.stop, time.time() + expires])
        fields = {"key": key, "Content-Type": content_type, "policy": policy}
        return PresignedUpload(self.address, fields | {"signature": signature(policy)})

    def answer(self, path: str) -> tuple[int, dict[str, str], bytes]:
        """What a GET gives."""
        parts = urlsplit(path)
        key, query = unquote(parts.path[1:]), parse_qs(parts.query, keep_blank_values=True)
        until, disposition = float(query["until"][0]), query["disposition"][0]
        if query["signature"][0] != signature(key, until, disposition) or time.time() > until:
            return 403, {}, b""
        headers = {"Content-Type": self.stat(key).content_type or ""}
        if disposition:
            headers["Content-Disposition"] = disposition
        return 200, headers, self.read(key, 1_000_000)

    def take(self, fields: dict[str, str], body: bytes) -> int:
        """The status with which a form is answered."""
        key, content_type, low, high, until = json.loads(fields["policy"])
        agreed = (fields["key"], fields["Content-Type"]) == (key, content_type)
        fits = low <= len(body) < high and time.time() <= until
        if fields["signature"] != signature(fields["policy"]) or not (agreed and fits):
            return 403
        self.put(key, body, content_type=content_type)
        return 204


@contextmanager
def served(storage: ServedMemory) -> Iterator[ServedMemory]:
    """Serve *storage* on a port of loopback."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            status, headers, body = storage.answer(self.path)
            self._send(status, headers, body)

        def do_POST(self) -> None:
            raw = self.rfile.read(int(self.headers["Content-Length"]))
            form = BytesParser().parsebytes(
                f"Content-Type: {self.headers['Content-Type']}\r\n\r\n".encode() + raw
            )
            parts = {_name(part): part.get_payload(decode=True) for part in form.walk()}
            file = parts.pop("file")
            fields = {name: value.decode() for name, value in parts.items() if value}
            self._send(storage.take(fields, file), {}, b"")

        def _send(self, status: int, headers: dict[str, str], body: bytes) -> None:
            self.send_response(status)
            for name, value in {**headers, "Content-Length": str(len(body))}.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        storage.address = f"http://127.0.0.1:{server.server_port}"
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield storage
        finally:
            server.shutdown()
            thread.join()


def _name(part: Message) -> str:
    return str(part.get_param("name", header="content-disposition"))
