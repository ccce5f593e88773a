"""A clamd that misbehaves as a test wants: a real socket, a thread, a behaviour per connection."""

import socket
import struct
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

VERSION_REPLY = b"ClamAV 1.4.6/27456/Thu Nov 14 10:31:23 2024\0"

#: Seconds after which a behaviour that waits gives up, so that no thread outlives its test.
PATIENCE = 5.0


class Conversation:
    """The server's side of one connection."""

    def __init__(self, connection: socket.socket, stopped: threading.Event) -> None:
        self._connection = connection
        self._stopped = stopped

    def command(self) -> bytes:
        """The client's command without its prefix and its end, in either of clamd's notations."""
        prefix = self._exactly(1)
        end = b"\0" if prefix == b"z" else b"\n"
        received = b""
        while not received.endswith(end):
            received += self._exactly(1)
        return received[:-1]

    def read_frame(self) -> int:
        """Read one frame of a stream and return its length, 0 for the last one."""
        (length,) = struct.unpack("!L", self._exactly(4))
        self._exactly(length)
        return int(length)

    def read_stream(self) -> None:
        """Read the whole stream."""
        while self.read_frame():
            pass

    def say(self, reply: bytes) -> None:
        """Send *reply*, or as much of it as the client wants to hear."""
        with suppress(OSError):
            self._connection.sendall(reply)

    def wait(self, seconds: float = PATIENCE) -> None:
        """Do nothing, until the test is over."""
        self._stopped.wait(seconds)

    def _exactly(self, count: int) -> bytes:
        received = bytearray()
        while len(received) < count:
            data = self._connection.recv(count - len(received))
            if not data:
                raise EOFError
            received += data
        return bytes(received)


Behaviour = Callable[[Conversation], None]


def well(conversation: Conversation) -> None:
    """Read the stream and call it clean."""
    conversation.read_stream()
    conversation.say(b"stream: OK\0")


@contextmanager
def fake_clamd(
    folder: Path, instream: Behaviour = well, other: dict[bytes, bytes] | None = None
) -> Iterator[str]:
    """Serve on a unix socket in *folder*; *instream* is what follows the command INSTREAM.

    Args:
        folder: Where the socket lies.
        instream: Called after the command; the connection is closed when it returns.
        other: Replies to other commands, over those of a healthy clamd.

    Yields:
        The address, as settings take it.
    """
    path = folder / "fake.sock"
    replies = {b"VERSION": VERSION_REPLY, b"PING": b"PONG\0"} | (other or {})
    stopped = threading.Event()
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(path))
        listener.listen()
        listener.settimeout(0.05)
        thread = threading.Thread(target=_serve, args=(listener, replies, instream, stopped))
        thread.start()
        try:
            yield f"unix://{path}"
        finally:
            stopped.set()
            thread.join()


def _serve(
    listener: socket.socket,
    replies: dict[bytes, bytes],
    instream: Behaviour,
    stopped: threading.Event,
) -> None:
    while not stopped.is_set():
        with suppress(TimeoutError):
            connection, _ = listener.accept()
            with connection, suppress(EOFError, OSError):
                connection.settimeout(PATIENCE)
                conversation = Conversation(connection, stopped)
                command = conversation.command()
                if command == b"INSTREAM":
                    instream(conversation)
                else:
                    conversation.say(replies[command])
