"""What ``uploadmill check`` says of scanners that are hard to find in the wild."""

from __future__ import annotations

import socket
import threading

import pytest

from uploadmill.job import NotScanned, ScanCertificate
from uploadmill.settings import Settings
from uploadmill.worker.checks import scanner as scanner_module
from uploadmill.worker.checks.clamd_limit import stream_limit
from uploadmill.worker.checks.finding import Level
from uploadmill.worker.checks.scanner import _finds, _looks_at, check_scanner

NOW = "2026-01-01T00:00:00Z"


class Scripted:
    """Gives one verdict after the other."""

    def __init__(self, *verdicts: tuple[str, NotScanned | None]) -> None:
        self.verdicts = list(verdicts)

    def scan(self, _path) -> ScanCertificate:
        verdict, reason = self.verdicts.pop(0)
        return ScanCertificate.model_validate(
            {
                "sha256": "0" * 64,
                "verdict": verdict,
                "reason": reason,
                "engine": "E",
                "signatures": "S",
                "scanned_at": NOW,
            }
        )


INFECTED, CLEAN = ("infected", None), ("clean", None)


def test_a_scanner_that_finds_everything_is_a_fault(tmp_path):
    finding = _finds(Scripted(INFECTED, INFECTED), tmp_path)

    assert (Level.FAULT, "a plain text is infected") == (finding.level, finding.what)


@pytest.mark.parametrize(
    ("verdicts", "level", "what"),
    [
        ((INFECTED, CLEAN), Level.FAULT, "without looking"),
        ((INFECTED, ("not_scanned", NotScanned.LIMIT_EXCEEDED)), Level.FAULT, "exceed a limit"),
        ((INFECTED, ("not_scanned", NotScanned.TIMED_OUT)), Level.FAULT, "timed_out"),
        ((INFECTED, INFECTED), Level.OK, "are looked at"),
        # Signatures that find the test file only alone: being found is no proof of looking.
        ((CLEAN, CLEAN), Level.OK, "are looked at"),
    ],
)
def test_a_long_stream_must_be_looked_at(monkeypatch, tmp_path, verdicts, level, what):
    monkeypatch.setattr(scanner_module, "stream_limit", lambda _: None)

    finding = _looks_at(Scripted(*verdicts), Settings(), tmp_path, "photo", 1000)

    assert level == finding.level
    assert what in finding.what


def test_more_than_clamav_can_look_at_is_a_fault_before_anything_is_sent(tmp_path):
    finding = _looks_at(Scripted(), Settings(), tmp_path, "film", 3_000_000_000)

    assert Level.FAULT == finding.level
    assert "lower its max_size to 2147483647" == finding.how


def test_without_a_pipeline_that_scans_no_scanner_is_asked():
    steps = {"steps": ["validate"]}
    settings = Settings.model_validate(
        {"pipelines": dict.fromkeys(("photo", "avatar", "document"), steps)}
    )

    assert ["no pipeline scans"] == [finding.what for finding in check_scanner(settings)]


def test_the_limit_of_a_clamd_behind_tcp_is_found():
    with socket.create_server(("127.0.0.1", 0)) as server:
        thread = threading.Thread(target=_limited, args=(server, 25_000_000))
        thread.start()
        limit = stream_limit(f"tcp://127.0.0.1:{server.getsockname()[1]}")
        server.shutdown(socket.SHUT_RDWR)
        thread.join()

    assert 25_000_000 == limit


def test_the_limit_of_a_clamd_that_is_not_there_is_unknown(tmp_path):
    assert stream_limit(f"unix://{tmp_path}/nobody") is None


def _limited(server: socket.socket, limit: int) -> None:
    """Serve as clamd does: refuse a piece by its announced length."""
    while True:
        try:
            client, _ = server.accept()
        except OSError:
            return
        with client, client.makefile("rb") as stream:
            stream.read(len(b"zINSTREAM\0"))
            if int.from_bytes(stream.read(4), "big") > limit:
                client.sendall(b"INSTREAM size limit exceeded. ERROR\0")
