"""Find out clamd's StreamMaxLength: it can be asked for nothing of its configuration."""

from __future__ import annotations

import socket
import struct
from urllib.parse import urlsplit

#: The largest length that can be announced to clamd.
HIGHEST = 2**32 - 1

#: Seconds to wait for one answer.
TIMEOUT = 5.0


def stream_limit(address: str) -> int | None:
    """Bytes of the longest stream that clamd takes; None where it takes any, or does not say.

    clamd refuses a piece of a stream as soon as its length is announced, so the limit is found
    by halving, without sending a byte: in 32 connections of half a millisecond each.
    """
    low, high = 0, HIGHEST
    try:
        if not _refuses(address, high):
            return None
        while high - low > 1:
            middle = (low + high) // 2
            low, high = (low, middle) if _refuses(address, middle) else (middle, high)
    except OSError:
        return None
    return low


def _refuses(address: str, length: int) -> bool:
    """Whether clamd refuses a stream of *length* bytes."""
    with _connect(address) as clamd:
        clamd.sendall(b"zINSTREAM\0" + struct.pack("!L", length))
        # It goes on reading where it does not refuse: let it see that there is no more.
        clamd.shutdown(socket.SHUT_WR)
        reply = b""
        while part := clamd.recv(256):
            reply += part
    return reply.startswith(b"INSTREAM size limit exceeded")


def _connect(address: str) -> socket.socket:
    if not address.startswith("unix://"):
        url = urlsplit(address)
        return socket.create_connection((url.hostname, url.port), TIMEOUT)
    clamd = socket.socket(socket.AF_UNIX)
    clamd.settimeout(TIMEOUT)
    try:
        clamd.connect(address.removeprefix("unix://"))
    except OSError:
        clamd.close()
        raise
    return clamd
