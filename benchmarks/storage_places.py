"""Servers on this machine, and the stores that are on them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from services.azurite import azurite
from services.fake_gcs import fake_gcs
from services.seaweed import seaweed

#: What ``open_storage`` takes.
Options = dict[str, Any]

BUCKET = "benchmark"

#: Seconds a server may stay silent: it may be busy.
PATIENCE = 120.0

#: A port where nobody listens.
NOBODY = 9


@dataclass(frozen=True, slots=True)
class Place:
    """A server, and how to open stores on it.

    Attributes:
        kind: Of its stores.
        port: Of the server.
        address: The option that says where the server is, for a port.
        options: The others.
    """

    kind: str
    port: int
    address: Callable[[int], Mapping[str, str]]
    options: Mapping[str, Any]

    def store(self, name: str, port: int | None = None) -> Options:
        """A store in a folder of its own, reached by way of *port*."""
        return {
            "url": self.kind,
            "name": name,
            "base_path": name,
            "read_timeout": PATIENCE,
            **self.address(port or self.port),
            **self.options,
        }


@contextmanager
def s3(folder: Path) -> Iterator[Place]:
    """SeaweedFS."""
    with seaweed(folder) as server:
        keys = {"access_key": server.access_key, "secret_key": server.secret_key}
        options = {"bucket": server.make_bucket(BUCKET), "region": "us-east-1", **keys}
        yield Place("s3", server.port, _endpoint, options)


@contextmanager
def google(folder: Path) -> Iterator[Place]:
    """fake-gcs-server."""
    with fake_gcs(folder, on_disk=True) as server:
        yield Place("gcs", server.port, _endpoint, {"bucket": server.make_bucket(BUCKET)})


@contextmanager
def azure(folder: Path) -> Iterator[Place]:
    """Azurite."""
    with azurite(folder) as server:
        options = {"container": server.make_container(BUCKET), "access_key": server.access_key}
        there = str(server.port)
        yield Place(
            "azure",
            server.port,
            lambda port: {"account_url": server.account_url.replace(there, str(port))},
            options,
        )


def _endpoint(port: int) -> dict[str, str]:
    return {"endpoint_url": f"http://127.0.0.1:{port}"}
