"""pyclamd, made strict: whatever is not one whole reply is an error, never "clean".

pyclamd 0.4.0 as it stands takes a closed connection for "clean", and many a half or unknown reply
too; it sends with ``send``, which may send half, and reads a reply with one ``recv``. It is used
unmodified; what it does to the socket is replaced here, so its ``ping`` and ``version`` are right.
"""

from __future__ import annotations

import socket
import time
from collections.abc import Iterable
from types import TracebackType
from typing import Self
from urllib.parse import urlsplit

import pyclamd

from uploadmill.job import NotScanned

#: Bytes; clamd's replies are a name and a few words. What does not end by then is not a reply.
LONGEST_REPLY = 4096

#: The frame that ends a stream: a length of zero.
LAST_FRAME = b"\0\0\0\0"


class NoAnswer(Exception):
    """Raised when there is no valid reply; never leaves the package.

    Attributes:
        reason: Why not.
    """

    def __init__(self, reason: NotScanned) -> None:
        super().__init__(reason)
        self.reason = reason


class StrictClamd(pyclamd.ClamdUnixSocket):  # type: ignore[misc] # pyclamd has no types
    """One connection to clamd, over a unix socket or TCP, for one command.

    Args:
        address: ``unix:///path`` or ``tcp://host:port``.
        silence: Seconds that clamd may neither take nor give a byte.
        until: The time (of ``time.monotonic``) at which everything must be over; a server that
            trickles bytes is never silent.
    """

    def __init__(self, address: str, silence: float, until: float) -> None:
        # The base's constructor is not called: it would connect once just to try.
        self._address = address
        self._silence = silence
        self._until = until
        self._broken = False

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if hasattr(self, "clamd_socket"):
            self._close_socket()

    def scan_stream(self, frames: Iterable[bytes | memoryview]) -> str:
        """Send *frames* by INSTREAM and return clamd's reply, whatever it says.

        Raises:
            NoAnswer: There is no whole reply, or it came before the stream had ended.
        """
        self._init_socket()
        self._send_command("INSTREAM")
        for frame in frames:
            if self._broken:
                break
            if frame == LAST_FRAME and self._spoke_early():
                self._broken = True
            self._send(frame)
        return self._recv_response()

    def _init_socket(self) -> None:
        try:
            if self._address.startswith("unix://"):
                self.clamd_socket = socket.socket(socket.AF_UNIX)
                self._set_timeout()
                self.clamd_socket.connect(self._address.removeprefix("unix://"))
            else:
                url = urlsplit(self._address)
                self.clamd_socket = socket.create_connection((url.hostname, url.port), self._left())
        except TimeoutError:
            raise NoAnswer(NotScanned.TIMED_OUT) from None
        except OSError:
            raise NoAnswer(NotScanned.REFUSED_CONNECTION) from None

    def _send_command(self, cmd: str) -> None:
        self._send(b"z" + cmd.encode() + b"\0")

    def _send(self, data: bytes | memoryview) -> None:
        self._set_timeout()
        try:
            self.clamd_socket.sendall(data)
        except TimeoutError:
            raise NoAnswer(NotScanned.TIMED_OUT) from None
        except OSError:
            # clamd closes while we send when the stream is too long; its reply says so.
            self._broken = True

    def _spoke_early(self) -> bool:
        self.clamd_socket.settimeout(0)
        try:
            self.clamd_socket.recv(1, socket.MSG_PEEK)
        except BlockingIOError:
            return False
        except OSError:
            return True
        return True

    def _recv_response(self) -> str:
        """Everything up to the end of the connection, which must be one reply and its NUL."""
        received = bytearray()
        while data := self._recv():
            received += data
            if len(received) > LONGEST_REPLY:
                raise NoAnswer(NotScanned.UNKNOWN_REPLY)
        reply, nul, rest = bytes(received).partition(b"\0")
        if not nul:
            raise NoAnswer(NotScanned.TRUNCATED_REPLY if reply else NotScanned.NO_REPLY)
        # Over a broken connection clamd can explain why, but it cannot have seen everything.
        if rest or not reply.isascii() or (self._broken and not reply.endswith(b" ERROR")):
            raise NoAnswer(NotScanned.UNKNOWN_REPLY)
        return reply.decode("ascii")

    def _recv(self) -> bytes:
        self._set_timeout()
        try:
            return self.clamd_socket.recv(LONGEST_REPLY)
        except TimeoutError:
            raise NoAnswer(NotScanned.TIMED_OUT) from None
        except OSError:
            self._broken = True
            return b""

    def _set_timeout(self) -> None:
        self.clamd_socket.settimeout(self._left())

    def _left(self) -> float:
        left = min(self._silence, self._until - time.monotonic())
        if left <= 0:
            raise NoAnswer(NotScanned.TIMED_OUT)
        return left
