"""An embedded clamd: the system's program, with a configuration and a socket of our own.

clamd answers OK to much of what it did not look at, unless it is told to raise an alarm; the
configuration here does that, and is the one to copy for a clamd that is not embedded.
"""

from __future__ import annotations

import os
import shutil
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from uploadmill.errors import EmbeddedServerFailed
from uploadmill.worker.embedded.eicar import eicar
from uploadmill.worker.embedded.processes import Server

#: Where packages of ClamAV and freshclam keep the signatures.
SYSTEM_DATABASE = Path("/var/lib/clamav")

#: Where clamd lies when it is not on the PATH, which for users other than root is usual.
SBIN = ("/usr/sbin", "/usr/local/sbin", "/opt/homebrew/sbin")

#: Seconds until it must answer: loading the real signatures takes half a minute and more.
START_LIMIT = 180.0

#: Bytes: libclamav looks at nothing larger, whatever the configuration says.
LARGEST = 2**31 - 1

#: Milliseconds a scan may take, less than the scanner's 60 s of patience: so a file that takes
#: for ever ends with an alarm about that file, and not with a scanner that seems to be down.
MAX_SCAN_TIME = 45_000

#: Longest path of a unix socket on macOS, and four less than on Linux.
SOCKET_PATH_LIMIT = 103


@dataclass(frozen=True)
class EmbeddedClamd:
    """A running clamd.

    Attributes:
        address: As the settings take it: ``unix:///…/clamd.sock``.
        signatures: Whether it knows the system's signatures or EICAR's alone.
        server: Its process.
    """

    address: str
    signatures: Literal["system", "test only"]
    server: Server

    @property
    def pid(self) -> int:
        """Its process id."""
        return self.server.pid

    def stop(self) -> None:
        """End it and wait until it is gone."""
        self.server.stop()


def find_clamd() -> Path | None:
    """The system's clamd."""
    found = shutil.which("clamd", path=os.pathsep.join([os.environ.get("PATH", ""), *SBIN]))
    return Path(found) if found else None


@contextmanager
def embedded_clamd(
    folder: Path, max_size: int = LARGEST, *, system_signatures: bool = True
) -> Iterator[EmbeddedClamd]:
    """Run a clamd on a unix socket in *folder* while the block lasts.

    Args:
        folder: Configuration, socket, log and temporary files; nothing of value stays there.
        max_size: Bytes of the largest upload that it takes.
        system_signatures: Use the system's signatures if there are any; False takes EICAR's.

    Raises:
        EmbeddedServerFailed: There is no clamd, or it does not start.
    """
    clamd = start_clamd(folder, max_size, system_signatures=system_signatures)
    try:
        yield clamd
    finally:
        clamd.stop()


def start_clamd(
    folder: Path, max_size: int = LARGEST, *, system_signatures: bool = True
) -> EmbeddedClamd:
    """The same without the block: whoever calls this calls ``stop()``."""
    binary = find_clamd()
    if binary is None:
        reason = "clamd is not installed (Debian: apt-get install clamav-daemon)"
        raise EmbeddedServerFailed("clamd", reason)
    folder = folder.resolve()
    path = folder / "clamd.sock"
    if len(os.fsencode(path)) > SOCKET_PATH_LIMIT:
        reason = f"{path} is too long for a unix socket; take a shorter folder"
        raise EmbeddedServerFailed("clamd", reason)
    (folder / "tmp").mkdir(parents=True, exist_ok=True)
    system = system_signatures and has_system_signatures()
    database = SYSTEM_DATABASE if system else _test_database(folder / "signatures")
    config = folder / "clamd.conf"
    config.write_text(_config(folder, path, database, min(max_size, LARGEST)))
    server = Server("clamd", [str(binary), f"--config-file={config}"], folder / "clamd.log")
    server.wait_ready(lambda: _answers(path), START_LIMIT)
    return EmbeddedClamd(f"unix://{path}", "system" if system else "test only", server)


def has_system_signatures() -> bool:
    """Whether this system has ClamAV's own signatures, readable for us."""
    files = [*SYSTEM_DATABASE.glob("*.cvd"), *SYSTEM_DATABASE.glob("*.cld")]
    return any(os.access(file, os.R_OK) for file in files)


def _test_database(folder: Path) -> Path:
    # ``*``: anywhere in the file, so an infected picture can be made by appending to a good one.
    folder.mkdir(exist_ok=True)
    (folder / "test.ndb").write_text(f"Eicar-Test-Signature:0:*:{eicar().hex()}\n")
    return folder


def _config(folder: Path, path: Path, database: Path, max_size: int) -> str:
    options = {
        "Foreground": "yes",
        "LocalSocket": path,
        "LocalSocketMode": "600",
        "DatabaseDirectory": database,
        "TemporaryDirectory": folder / "tmp",
        "StreamMaxLength": max_size,
        # A member of an archive over MaxFileSize is passed over in silence, one over
        # MaxScanSize raises the alarm: so the first is as large as it can be.
        "MaxFileSize": LARGEST,
        "MaxScanSize": min(4 * max_size, LARGEST),
        "MaxScanTime": MAX_SCAN_TIME,
        "MaxThreads": 4,
        "AlertExceedsMax": "yes",
        "AlertEncrypted": "yes",
        # Without it every scan waits while new signatures are loaded.
        "ConcurrentDatabaseReload": "yes",
    }
    return "".join(f"{name} {value}\n" for name, value in options.items())


def _answers(path: Path) -> bool:
    with socket.socket(socket.AF_UNIX) as client:
        client.settimeout(1.0)
        try:
            client.connect(str(path))
            client.sendall(b"zPING\0")
            return client.recv(16) == b"PONG\0"
        except OSError:
            return False
