"""Start a server as a child process, wait until it answers, end it by its process id."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from uploadmill.errors import EmbeddedServerFailed

#: Seconds a server gets to end by itself before it is killed.
GRACE = 5.0

#: Seconds between two looks whether a server is ready.
POLL = 0.01

#: Lines of a server's log that an error message shows.
LOG_LINES = 5

TETHER = Path(__file__).with_name("tether.py")


class Server:
    """A child process that serves on loopback; it dies with the thread that started it.

    Attributes:
        name: What messages call it.
        log: The file with everything it prints.
        pid: Its process id.
    """

    def __init__(
        self,
        name: str,
        command: Sequence[str],
        log: Path,
        environment: Mapping[str, str] | None = None,
    ) -> None:
        self.name = name
        self.log = log
        tether = [sys.executable, "-I", "-S", str(TETHER), str(os.getpid())]
        with log.open("wb") as output:
            self._process = subprocess.Popen(
                [*tether, *command],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                env=environment,
                # A Ctrl-C in the terminal is for us; we end our servers in our own order.
                start_new_session=True,
            )
        self.pid = self._process.pid

    @property
    def running(self) -> bool:
        """Whether the process has not ended."""
        return self._process.poll() is None

    def wait_ready(self, ready: Callable[[], bool], seconds: float) -> None:
        """Return as soon as *ready* says yes.

        Raises:
            EmbeddedServerFailed: The process ended, or was not ready in time; it is stopped then.
        """
        limit = time.monotonic() + seconds
        while not ready():
            if not self.running:
                code = self._process.returncode
                raise EmbeddedServerFailed(self.name, f"it ended with {code}: {self._last_words()}")
            if time.monotonic() > limit:
                self.stop()
                reason = f"not ready after {seconds:g} s: {self._last_words()}"
                raise EmbeddedServerFailed(self.name, reason)
            time.sleep(POLL)

    def stop(self) -> None:
        """Ask the process to end, kill it when it does not, and wait until it is gone."""
        self._process.terminate()
        try:
            self._process.wait(GRACE)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()

    def _last_words(self) -> str:
        with self.log.open(errors="replace") as lines:
            return " / ".join(line.strip() for line in deque(lines, LOG_LINES)) or "it said nothing"


def free_port() -> int:
    """A TCP port of 127.0.0.1 that nobody uses at this moment."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def require_free(name: str, port: int) -> None:
    """See that the server *name* can have *port* of 127.0.0.1; 0 is always free.

    Raises:
        EmbeddedServerFailed: Another program listens there, or we may not.
    """
    with socket.socket() as probe:
        # As servers do: connections that linger from the last time keep no port.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError as error:
            reason = f"port {port} cannot be had ({error.strerror}); choose another, or 0"
            raise EmbeddedServerFailed(name, f"{reason} for a free one") from error
