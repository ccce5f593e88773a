"""The scanner on a real clamd."""

import hashlib
import os
import signal
import subprocess
import sys
import time
import zipfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from io import BytesIO
from pathlib import Path

import pytest
from PIL import Image
from services.missing import missing

from uploadmill.backends.scanner.clamd import ClamdScanner
from uploadmill.job import NotScanned
from uploadmill.worker.embedded.clamd import EmbeddedClamd, embedded_clamd, find_clamd
from uploadmill.worker.embedded.eicar import eicar
from uploadmill.worker.embedded.processes import Server, free_port

#: Bytes of the largest upload that ``small_clamd`` takes.
SMALL = 1_000_000

#: The local database's names get this suffix from clamd.
EICAR_NAME = "Eicar-Test-Signature.UNOFFICIAL"


@pytest.fixture
def scanner(clamd: EmbeddedClamd) -> ClamdScanner:
    return ClamdScanner(clamd.address, 10.0)


@pytest.fixture(scope="module")
def small_clamd(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmbeddedClamd]:
    if find_clamd() is None:
        missing("clamd", "apt-get install clamav-daemon")
    folder = tmp_path_factory.mktemp("small")
    with embedded_clamd(folder, SMALL, system_signatures=False) as server:
        yield server


def photo() -> bytes:
    file = BytesIO()
    Image.effect_mandelbrot((640, 480), (-2, -1.5, 1, 1.5), 50).save(file, "JPEG")
    return file.getvalue()


def zipped(content: bytes) -> bytes:
    file = BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("member", content)
    return file.getvalue()


def encrypted(archive: bytes) -> bytes:
    """Mark the only member of *archive* as encrypted, as its reader sees it: bit 0 of the flags."""
    marked = bytearray(archive)
    for signature, flags in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        marked[marked.index(signature) + flags] |= 1
    return bytes(marked)


def upload(folder: Path, content: bytes) -> Path:
    path = folder / "upload"
    path.write_bytes(content)
    return path


def test_a_photo_is_clean_and_certified(scanner: ClamdScanner, tmp_path: Path):
    content = photo()

    certificate = scanner.scan(upload(tmp_path, content))

    assert ("clean", None, None) == (
        certificate.verdict,
        certificate.reason,
        certificate.signature,
    )
    assert hashlib.sha256(content).hexdigest() == certificate.sha256
    assert certificate.engine.startswith("ClamAV 1.")
    assert certificate.signatures == "local signatures only"


@pytest.mark.parametrize(
    "content",
    [
        pytest.param(eicar(), id="raw"),
        pytest.param(photo() + eicar(), id="behind a photo"),
        pytest.param(b"." * 5_000_000 + eicar(), id="behind 5 MB"),
        pytest.param(zipped(eicar()), id="zipped"),
    ],
)
def test_eicar_is_found(content: bytes, scanner: ClamdScanner, tmp_path: Path):
    certificate = scanner.scan(upload(tmp_path, content))

    assert ("infected", EICAR_NAME) == (certificate.verdict, certificate.signature)
    assert hashlib.sha256(content).hexdigest() == certificate.sha256


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        pytest.param(bytes(3 * SMALL), NotScanned.LIMIT_EXCEEDED, id="over StreamMaxLength"),
        pytest.param(zipped(bytes(5 * SMALL)), NotScanned.LIMIT_EXCEEDED, id="zip bomb"),
        pytest.param(encrypted(zipped(b"secret")), NotScanned.ENCRYPTED, id="encrypted zip"),
    ],
)
def test_what_clamd_cannot_look_at_is_not_scanned_for_good(
    content: bytes, reason: NotScanned, small_clamd: EmbeddedClamd, tmp_path: Path
):
    certificate = ClamdScanner(small_clamd.address, 10.0).scan(upload(tmp_path, content))

    assert ("not_scanned", reason) == (certificate.verdict, certificate.reason)
    assert reason.permanent
    assert hashlib.sha256(content).hexdigest() == certificate.sha256


def test_a_member_over_the_upload_limit_is_still_looked_into(
    small_clamd: EmbeddedClamd, tmp_path: Path
):
    # With MaxFileSize at the upload limit clamd would pass over this member and say OK.
    content = zipped(bytes(2 * SMALL) + eicar())

    certificate = ClamdScanner(small_clamd.address, 10.0).scan(upload(tmp_path, content))

    assert ("infected", EICAR_NAME) == (certificate.verdict, certificate.signature)


def test_a_frozen_clamd_times_out_and_serves_again(small_clamd: EmbeddedClamd, tmp_path: Path):
    scanner = ClamdScanner(small_clamd.address, 0.5)
    path = upload(tmp_path, photo())
    with stopped(small_clamd.pid):
        began = time.monotonic()
        certificate = scanner.scan(path)
        took = time.monotonic() - began

    assert ("not_scanned", NotScanned.TIMED_OUT) == (certificate.verdict, certificate.reason)
    assert 0.5 <= took < 1.5
    assert scanner.scan(path).verdict == "clean"


def test_a_clamd_that_is_killed_is_a_refused_connection(tmp_path: Path):
    if find_clamd() is None:
        missing("clamd", "apt-get install clamav-daemon")
    with embedded_clamd(tmp_path / "clamd", system_signatures=False) as clamd:
        os.kill(clamd.pid, signal.SIGKILL)
        clamd.stop()

        certificate = ClamdScanner(clamd.address, 5.0).scan(upload(tmp_path, photo()))

    assert certificate.reason == NotScanned.REFUSED_CONNECTION


def test_it_answers_over_tcp_too(clamd: EmbeddedClamd, tmp_path: Path):
    # Given the session's clamd again, with a port instead of a socket and a small limit
    port = free_port()
    lines = Path(clamd.address.removeprefix("unix://")).with_name("clamd.conf").read_text()
    kept = [line for line in lines.splitlines() if not line.startswith(("Local", "Stream"))]
    kept += [f"TCPSocket {port}", "TCPAddr 127.0.0.1", f"StreamMaxLength {SMALL}"]
    config = tmp_path / "clamd.conf"
    config.write_text("\n".join(kept) + "\n")
    server = Server("clamd", [str(find_clamd()), f"--config-file={config}"], tmp_path / "log")
    scanner = ClamdScanner(f"tcp://127.0.0.1:{port}", 10.0)
    try:
        server.wait_ready(lambda: b"Self checking" in server.log.read_bytes(), 10)

        # When it gets a photo, a test virus, and too much
        contents = (photo(), eicar(), bytes(20 * SMALL))
        certificates = [scanner.scan(upload(tmp_path, content)) for content in contents]
    finally:
        server.stop()

    # Then it answers as it does over its socket
    assert [("clean", None), ("infected", None), ("not_scanned", NotScanned.LIMIT_EXCEEDED)] == [
        (certificate.verdict, certificate.reason) for certificate in certificates
    ]


def test_several_threads_share_a_scanner(scanner: ClamdScanner, tmp_path: Path):
    good, bad = tmp_path / "good", tmp_path / "bad"
    good.write_bytes(photo())
    bad.write_bytes(photo() + eicar())

    with ThreadPoolExecutor(8) as threads:
        certificates = list(threads.map(scanner.scan, [good, bad] * 20))

    assert ["clean", "infected"] * 20 == [certificate.verdict for certificate in certificates]


def test_it_is_up_and_says_what_it_is(scanner: ClamdScanner):
    scanner.ping()

    engine, signatures = scanner.describe()

    assert engine.startswith("ClamAV 1.")
    assert signatures == "local signatures only"


PEAK_OF_A_SCAN = """
import resource, sys
from pathlib import Path
from uploadmill.backends.scanner.clamd import ClamdScanner

scanner = ClamdScanner(sys.argv[1], 60)
peaks = []
for path in sys.argv[2:]:
    assert scanner.scan(Path(path)).verdict == "clean"
    peaks.append(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
print(*peaks)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="ru_maxrss counts KiB on Linux only")
def test_memory_stays_flat_for_a_large_upload(clamd: EmbeddedClamd, tmp_path: Path):
    # Given a small file, and one of 200 MB that takes no room on the disk
    small, large = tmp_path / "small", tmp_path / "large"
    small.write_bytes(bytes(1_000_000))
    large.touch()
    os.truncate(large, 200_000_000)

    # When a fresh process scans one after the other
    command = [sys.executable, "-c", PEAK_OF_A_SCAN, clamd.address, str(small), str(large)]
    output = subprocess.run(command, check=True, capture_output=True, text=True).stdout

    # Then the large one needs no more memory than the small one did
    before, after = (int(peak) for peak in output.split())
    assert after - before < 2_000


@contextmanager
def stopped(pid: int) -> Iterator[None]:
    os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(pid, signal.SIGCONT)
