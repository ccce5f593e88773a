"""An HTTP server that answers every request of a kind with bytes prepared by the test."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from email.message import Message
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


@dataclass(frozen=True)
class Reply:
    """What to say."""

    status: int
    body: bytes = b""
    headers: dict[str, str] = field(default_factory=dict)


#: From method and path with query to the reply.
Answer = Callable[[str, str], Reply]


@dataclass
class Canned:
    """A running server.

    Attributes:
        endpoint: Its address.
        requests: Method and path of each request, in order.
        headers: Of each request.
        bodies: Of each request that said how long it is.
    """

    endpoint: str
    requests: list[tuple[str, str]]
    headers: list[Message] = field(default_factory=list)
    bodies: list[bytes] = field(default_factory=list)


@contextlib.contextmanager
def canned(answer: Answer) -> Iterator[Canned]:
    """Serve *answer* on loopback."""
    seen = Canned("", [])

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def reply(self) -> None:
            seen.bodies.append(self.rfile.read(int(self.headers.get("Content-Length", 0))))
            seen.headers.append(self.headers)
            seen.requests.append((self.command, self.path))
            reply = answer(self.command, self.path)
            self.send_response(reply.status)
            for name, value in {"Content-Length": str(len(reply.body)), **reply.headers}.items():
                self.send_header(name, value)
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(reply.body)

        do_GET = do_PUT = do_POST = do_HEAD = do_DELETE = reply  # noqa: N815 (http.server's names)

        def log_message(self, *_: object) -> None:
            """Nothing: the test looks at ``requests``."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        seen.endpoint = f"http://127.0.0.1:{server.server_address[1]}"
        yield seen
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
