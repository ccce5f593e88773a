"""An HTTP proxy before an S3 server that breaks requests on purpose, each in S3's own manner.

It passes the client's Host header on, so signatures stay right.
"""

from __future__ import annotations

import contextlib
import http.client
import random
import socket
import struct
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

#: Headers that belong to one connection.
_HOP = frozenset({"connection", "transfer-encoding", "content-length", "date", "expect"})

#: Seconds a request to the real server may take.
_PATIENCE = 60.0

#: Seconds for which a black hole swallows a request; longer than any client waits.
_FOR_EVER = 30.0


@dataclass
class S3Proxy:
    """A running proxy.

    Attributes:
        target_port: Of the real server.
        port: Where it listens.
        fault: What is done to the requests it chooses; None: they pass.
        struck: How many requests were broken.
        connections: Those that clients have made and not closed.
    """

    target_port: int
    port: int = 0
    fault: Fault | None = None
    struck: int = 0
    stopped: threading.Event = field(default_factory=threading.Event)
    connections: set[socket.socket] = field(default_factory=set)
    _server: _Server | None = None

    @property
    def endpoint(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def listen(self) -> None:
        """Take connections: where it did so before, if it did."""
        self._server = _Server(self)
        self.port = self._server.server_port
        self._server.start()

    def refuse(self) -> None:
        """From now on connections are refused by the kernel; those that there are break."""
        if self._server is not None:
            self._server.stop()
            self._server = None
        for connection in tuple(self.connections):
            _break(connection)


class _Server(ThreadingHTTPServer):
    """Listens for a proxy, in a thread; a connection that is open outlives it."""

    daemon_threads = True

    def __init__(self, proxy: S3Proxy) -> None:
        handler = type("BoundHandler", (Handler,), {"proxy": proxy})
        super().__init__(("127.0.0.1", proxy.port), handler)
        self._connections = proxy.connections
        self._thread = threading.Thread(target=self.serve_forever, kwargs={"poll_interval": 0.05})

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        self.shutdown()
        self._thread.join()
        self.server_close()

    def process_request(self, request: Any, client_address: Any) -> None:
        self._connections.add(request)
        super().process_request(request, client_address)

    def shutdown_request(self, request: Any) -> None:
        self._connections.discard(request)
        super().shutdown_request(request)


def _break(connection: socket.socket) -> None:
    """End what another thread reads or writes, and leave it to that to close it."""
    _reset_when_closed(connection)
    with contextlib.suppress(OSError):
        connection.shutdown(socket.SHUT_RDWR)


def _reset_when_closed(connection: socket.socket) -> None:
    with contextlib.suppress(OSError):
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))


@dataclass(frozen=True)
class Request:
    """One request, read whole."""

    method: str
    path: str
    headers: dict[str, str]
    body: bytes

    @property
    def ends_in_xml(self) -> bool:
        """Whether it is a call that S3 may answer with an error inside a 200."""
        query = parse_qs(urlsplit(self.path).query, keep_blank_values=True)
        completes = self.method == "POST" and "uploadId" in query
        return completes or "x-amz-copy-source" in {name.lower() for name in self.headers}


#: Breaks a request: gets the handler and the request.
Fault = Callable[["Handler", Request], None]


class Handler(BaseHTTPRequestHandler):
    """One connection."""

    protocol_version = "HTTP/1.1"
    proxy: S3Proxy

    def handle_any(self) -> None:
        fault = self.proxy.fault
        if fault is cut_body:
            # Before the body has been read: that is what is cut.
            cut_body(self, Request(self.command, self.path, dict(self.headers), b""))
            return
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        request = Request(self.command, self.path, dict(self.headers), body)
        if fault is None:
            self.pass_on(request)
        else:
            fault(self, request)

    def __getattr__(self, name: str) -> Callable[[], None]:
        """Any method is handled alike; the server looks for ``do_GET`` and its like."""
        if name.startswith("do_"):
            return self.handle_any
        raise AttributeError(name)

    def pass_on(self, request: Request, *, answer: bool = True) -> None:
        """Have the real server do it, and say what it said."""
        connection = http.client.HTTPConnection(
            "127.0.0.1", self.proxy.target_port, timeout=_PATIENCE
        )
        try:
            # As they came: the client has signed them, Host too.
            connection.putrequest(
                request.method, request.path, skip_host=True, skip_accept_encoding=True
            )
            for name, value in request.headers.items():
                if name.lower() != "expect":
                    connection.putheader(name, value)
            connection.endheaders(request.body or None)
            answered = connection.getresponse()
            headers = dict(answered.getheaders())
            content = answered.read()
        except OSError:
            self.reset()
            return
        finally:
            connection.close()
        if answer:
            length = headers.get("Content-Length", str(len(content)))
            self.say(answered.status, content, headers, length=length)

    def say(
        self, status: int, content: bytes, headers: dict[str, str], *, length: str = ""
    ) -> None:
        self.send_response_only(status)
        for name, value in headers.items():
            if name.lower() not in _HOP:
                self.send_header(name, value)
        self.send_header("Content-Length", length or str(len(content)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(content)

    def say_error(self, status: int, code: str) -> None:
        self.proxy.struck += 1
        document = f'<?xml version="1.0"?><Error><Code>{code}</Code><Message>x</Message></Error>'
        self.say(status, document.encode(), {"Content-Type": "application/xml"})

    def reset(self) -> None:
        """Break the connection, so that the client sees a reset."""
        self.proxy.struck += 1
        _reset_when_closed(self.connection)
        self.close_connection = True
        self.connection.close()

    def log_message(self, *_: object) -> None:
        pass

    def handle(self) -> None:
        with contextlib.suppress(OSError, ValueError):
            super().handle()

    def finish(self) -> None:
        with contextlib.suppress(OSError, ValueError):
            super().finish()


def swallow(handler: Handler, _request: Request) -> None:
    """A black hole: nobody ever answers."""
    handler.proxy.struck += 1
    handler.proxy.stopped.wait(_FOR_EVER)
    handler.reset()


def cut_body(handler: Handler, request: Request) -> None:
    """Half of a body arrives, then the connection breaks; requests without one pass."""
    size = int(request.headers.get("Content-Length", 0))
    if not size:
        handler.pass_on(request)
        return
    handler.rfile.read(size // 2)
    handler.reset()


def slow_down(handler: Handler, request: Request) -> None:
    """Half of all requests are too many; the first one is, however few there are."""
    if not handler.proxy.struck or random.random() < 0.5:  # noqa: S311 - keeps no secret
        handler.say_error(503, "SlowDown")
    else:
        handler.pass_on(request)


def forbid(handler: Handler, _request: Request) -> None:
    """Nobody is let in."""
    handler.say_error(403, "AccessDenied")


def lose_bucket(handler: Handler, _request: Request) -> None:
    """There is no such bucket."""
    handler.say_error(404, "NoSuchBucket")


def fail_inside_200(handler: Handler, request: Request) -> None:
    """Copies, and uploads by parts, fail after S3 has said 200."""
    if request.ends_in_xml:
        handler.say_error(200, "InternalError")
    else:
        handler.pass_on(request)


def lose_reply(handler: Handler, request: Request) -> None:
    """Every write is done, and nobody is told."""
    if request.method in ("GET", "HEAD"):
        handler.pass_on(request)
    else:
        handler.pass_on(request, answer=False)
        handler.reset()


@contextlib.contextmanager
def s3_proxy(target_port: int) -> Iterator[S3Proxy]:
    """Run a proxy in threads, in front of a server on loopback."""
    running = S3Proxy(target_port)
    running.listen()
    try:
        yield running
    finally:
        running.stopped.set()
        running.refuse()
