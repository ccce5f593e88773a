"""Flower, to look at workers and jobs in a browser; it may only read."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from http.client import HTTPConnection, HTTPException
from importlib.util import find_spec
from pathlib import Path

from uploadmill.errors import EmbeddedServerFailed
from uploadmill.worker.embedded.processes import Server, free_port

#: Seconds until it must answer; three are usual.
START_LIMIT = 30.0


@dataclass(frozen=True)
class EmbeddedFlower:
    """A running Flower.

    Attributes:
        url: For the browser: ``http://127.0.0.1:<port>``.
        server: Its process.
    """

    url: str
    server: Server

    @property
    def pid(self) -> int:
        """Its process id."""
        return self.server.pid

    def stop(self) -> None:
        """End it and wait until it is gone."""
        self.server.stop()


@contextmanager
def embedded_flower(
    folder: Path, environment: Mapping[str, str], port: int = 0
) -> Iterator[EmbeddedFlower]:
    """Run a Flower on 127.0.0.1 while the block lasts.

    Args:
        folder: Where its log goes.
        environment: All of its environment; the settings in it name the broker.
        port: The TCP port; 0 takes a free one.

    Raises:
        EmbeddedServerFailed: It is not installed, or it does not start.
    """
    flower = start_flower(folder, environment, port)
    try:
        yield flower
    finally:
        flower.stop()


def start_flower(folder: Path, environment: Mapping[str, str], port: int = 0) -> EmbeddedFlower:
    """The same without the block: whoever calls this calls ``stop()``."""
    if find_spec("flower") is None:
        raise EmbeddedServerFailed("flower", "it is not installed; install uploadmill[flower]")
    folder.mkdir(parents=True, exist_ok=True)
    port = port or free_port()
    server = Server("flower", _command(port), folder / "flower.log", environment)
    server.wait_ready(lambda: _answers(port), START_LIMIT)
    return EmbeddedFlower(f"http://127.0.0.1:{port}", server)


def _command(port: int) -> list[str]:
    celery = [sys.executable, "-m", "celery", "-A", "uploadmill.worker", "flower"]
    return [*celery, "--address=127.0.0.1", f"--port={port}", "--read_only"]


def _answers(port: int) -> bool:
    connection = HTTPConnection("127.0.0.1", port, timeout=1)
    try:
        connection.request("GET", "/healthcheck")
        return connection.getresponse().status == 200  # noqa: PLR2004 - the status code OK
    except (OSError, HTTPException):
        return False
    finally:
        connection.close()
