"""No wrong, broken or late reply of clamd is ever taken for "clean".

A fake clamd on a real socket says each of them to the scanner. The last test says the same to
pyclamd as it stands, which calls several of them clean: the harness can see the fault.
"""

import hashlib
import socket
import sys
import time
from contextlib import ExitStack, suppress
from pathlib import Path

import pyclamd
import pytest
from services.fake_clamd import Conversation, fake_clamd, well

from uploadmill.backends.scanner.clamd import ClamdScanner
from uploadmill.errors import InvalidSettings, ScannerUnavailable
from uploadmill.job import NotScanned as Why

#: Seconds an impatient scanner waits for a byte, and for everything; a patient one for either.
SILENCE, LIMIT = 0.3, 0.7
PATIENT = 10.0

#: Bytes: more than both ends of a socket hold, so that sending it needs a reader.
UPLOAD = b"an upload " * 200_000


def saying(reply: bytes):
    """The whole stream is read, *reply* is said, and the connection closed."""

    def behave(conversation: Conversation) -> None:
        conversation.read_stream()
        conversation.say(reply)

    return behave


def saying_then_waiting(reply: bytes):
    def behave(conversation: Conversation) -> None:
        conversation.read_stream()
        conversation.say(reply)
        conversation.wait()

    return behave


def closing_at_once(conversation: Conversation) -> None:
    """The stream stays unread: the client's connection is reset."""


def closing_in_mid_stream(conversation: Conversation) -> None:
    conversation.read_frame()


def saying_in_mid_stream(reply: bytes):
    def behave(conversation: Conversation) -> None:
        conversation.read_frame()
        conversation.say(reply)

    return behave


def ok_in_mid_stream_and_reading_on(conversation: Conversation) -> None:
    conversation.read_frame()
    conversation.say(b"stream: OK\0")
    conversation.read_stream()


def never_reading(conversation: Conversation) -> None:
    conversation.wait()


def trickling(conversation: Conversation) -> None:
    conversation.read_stream()
    for byte in b"stream: OK\0":
        conversation.say(bytes([byte]))
        conversation.wait(0.2)


def late(conversation: Conversation) -> None:
    conversation.read_stream()
    conversation.wait(SILENCE * 1.5)
    conversation.say(b"stream: OK\0")


def more_after_a_pause(conversation: Conversation) -> None:
    conversation.read_stream()
    conversation.say(b"stream: OK\0")
    conversation.wait(0.1)
    conversation.say(b"stream: Eicar-Test-Signature FOUND\0")


FAULTS = {
    # Nothing, or not all of it
    "closes without a word": (saying(b""), Why.NO_REPLY),
    "resets before the reply": (closing_at_once, Why.NO_REPLY),
    "resets in mid-stream": (closing_in_mid_stream, Why.NO_REPLY),
    "OK without its NUL": (saying(b"stream: OK"), Why.TRUNCATED_REPLY),
    "OK ended by a newline": (saying(b"stream: OK\n"), Why.TRUNCATED_REPLY),
    "half an OK": (saying(b"stream: O"), Why.TRUNCATED_REPLY),
    "bare OK without its NUL": (saying(b"OK"), Why.TRUNCATED_REPLY),
    "FOUND without its NUL": (saying(b"stream: Eicar FOUND"), Why.TRUNCATED_REPLY),
    "the name alone": (saying(b"stream: "), Why.TRUNCATED_REPLY),
    # Too late
    "never answers": (saying_then_waiting(b""), Why.TIMED_OUT),
    "never reads": (never_reading, Why.TIMED_OUT),
    "half a reply, then silence": (saying_then_waiting(b"stream: O"), Why.TIMED_OUT),
    "OK, but never closes": (saying_then_waiting(b"stream: OK\0"), Why.TIMED_OUT),
    "a byte every 0.2 s": (trickling, Why.TIMED_OUT),
    "OK after the time is up": (late, Why.TIMED_OUT),
    # Whole, but not what clamd says
    "bare OK": (saying(b"OK\0"), Why.UNKNOWN_REPLY),
    "a NUL alone": (saying(b"\0"), Why.UNKNOWN_REPLY),
    "OK to another command": (saying(b"fd[10]: OK\0"), Why.UNKNOWN_REPLY),
    "OK of a session": (saying(b"1: stream: OK\0"), Why.UNKNOWN_REPLY),
    "OKAY": (saying(b"stream: OKAY\0"), Why.UNKNOWN_REPLY),
    "lower case": (saying(b"stream: ok\0"), Why.UNKNOWN_REPLY),
    "a newline before the NUL": (saying(b"stream: OK\n\0"), Why.UNKNOWN_REPLY),
    "a space before it": (saying(b" stream: OK\0"), Why.UNKNOWN_REPLY),
    "OK FOUND": (saying(b"stream: OK FOUND\0"), Why.UNKNOWN_REPLY),
    "FOUND without a name": (saying(b"stream:  FOUND\0"), Why.UNKNOWN_REPLY),
    "FOUND cut short": (saying(b"stream: Eicar-Test-Sig\0"), Why.UNKNOWN_REPLY),
    "PONG": (saying(b"PONG\0"), Why.UNKNOWN_REPLY),
    "UNKNOWN COMMAND": (saying(b"UNKNOWN COMMAND\0"), Why.UNKNOWN_REPLY),
    "binary junk": (saying(bytes(range(255, 0, -1)) + b"\0"), Why.UNKNOWN_REPLY),
    "a megabyte of junk": (saying(b"stream: OK " * 100_000), Why.UNKNOWN_REPLY),
    "an HTTP server": (saying(b"HTTP/1.1 200 OK\r\n\r\n\0"), Why.UNKNOWN_REPLY),
    # More than one reply
    "two replies": (saying(b"stream: OK\0stream: OK\0"), Why.UNKNOWN_REPLY),
    "OK, then FOUND": (saying(b"stream: OK\0stream: Eicar FOUND\0"), Why.UNKNOWN_REPLY),
    "OK, a pause, then FOUND": (more_after_a_pause, Why.UNKNOWN_REPLY),
    "a byte behind the NUL": (saying(b"stream: OK\0\n"), Why.UNKNOWN_REPLY),
    # Before it can know
    "OK in mid-stream": (saying_in_mid_stream(b"stream: OK\0"), Why.UNKNOWN_REPLY),
    "OK in mid-stream, reading on": (ok_in_mid_stream_and_reading_on, Why.UNKNOWN_REPLY),
    "FOUND in mid-stream": (saying_in_mid_stream(b"stream: Eicar FOUND\0"), Why.UNKNOWN_REPLY),
    # Its own errors
    "over its limit": (saying(b"INSTREAM size limit exceeded. ERROR\0"), Why.LIMIT_EXCEEDED),
    "over its limit in mid-stream": (
        saying_in_mid_stream(b"INSTREAM size limit exceeded. ERROR\0"),
        Why.LIMIT_EXCEEDED,
    ),
    "out of memory": (saying(b"stream: Can't allocate memory ERROR\0"), Why.SCANNER_ERROR),
    "read timeout": (saying_in_mid_stream(b"read timeout ERROR\0"), Why.SCANNER_ERROR),
    # Alarms that say: I could not look
    "limits": (
        saying(b"stream: Heuristics.Limits.Exceeded.MaxScanSize FOUND\0"),
        Why.LIMIT_EXCEEDED,
    ),
    "encrypted": (saying(b"stream: Heuristics.Encrypted.Zip FOUND\0"), Why.ENCRYPTED),
}


@pytest.fixture
def upload(tmp_path: Path) -> Path:
    path = tmp_path / "upload"
    path.write_bytes(UPLOAD)
    return path


def scanner(address: str) -> ClamdScanner:
    return ClamdScanner(address, PATIENT)


def impatient(address: str) -> ClamdScanner:
    return ClamdScanner(address, SILENCE, LIMIT)


@pytest.mark.parametrize("fault", FAULTS)
def test_a_faulty_reply_is_not_scanned_and_says_why(fault: str, upload: Path, tmp_path: Path):
    behave, reason = FAULTS[fault]

    ask = impatient if reason is Why.TIMED_OUT else scanner
    with fake_clamd(tmp_path, behave) as address:
        began = time.monotonic()
        certificate = ask(address).scan(upload)
        took = time.monotonic() - began

    assert took < LIMIT + 1.0
    assert ("not_scanned", reason) == (certificate.verdict, certificate.reason)
    # However early the stream broke off, the certificate names the whole file.
    assert hashlib.sha256(UPLOAD).hexdigest() == certificate.sha256


def test_one_good_reply_is_clean(upload: Path, tmp_path: Path):
    with fake_clamd(tmp_path, well) as address:
        certificate = scanner(address).scan(upload)

    assert ("clean", None, None) == (
        certificate.verdict,
        certificate.reason,
        certificate.signature,
    )
    assert certificate.engine == "ClamAV 1.4.6"
    assert certificate.signatures == "27456 of Thu Nov 14 10:31:23 2024"


@pytest.mark.parametrize(
    "name", ["Eicar-Test-Signature", "Win.Test.EICAR_HDB-1", "Eicar(44d88612:68)"]
)
def test_a_find_is_infected_and_named(name: str, upload: Path, tmp_path: Path):
    with fake_clamd(tmp_path, saying(f"stream: {name} FOUND\0".encode())) as address:
        certificate = scanner(address).scan(upload)

    assert ("infected", name) == (certificate.verdict, certificate.signature)


def test_an_empty_file_is_sent_and_judged(tmp_path: Path):
    (tmp_path / "empty").touch()

    with fake_clamd(tmp_path) as address:
        certificate = scanner(address).scan(tmp_path / "empty")

    assert ("clean", hashlib.sha256().hexdigest()) == (certificate.verdict, certificate.sha256)


def test_nobody_at_the_address_is_a_refused_connection(upload: Path, tmp_path: Path):
    # Given a socket that nobody serves any more, a file, nothing, and closed or unknown TCP ports
    with socket.socket(socket.AF_UNIX) as left_over, socket.socket() as closed:
        left_over.bind(str(tmp_path / "left-over"))
        closed.bind(("127.0.0.1", 0))
        addresses = [
            f"unix://{tmp_path}/left-over",
            f"unix://{upload}",
            f"unix://{tmp_path}/nothing",
            f"tcp://127.0.0.1:{closed.getsockname()[1]}",
        ]

        # When each is asked
        certificates = [scanner(address).scan(upload) for address in addresses]

    # Then none knows anything
    assert [("not_scanned", Why.REFUSED_CONNECTION, "unknown")] * 4 == [
        (certificate.verdict, certificate.reason, certificate.engine)
        for certificate in certificates
    ]


VERSION_FAULTS = {
    "junk": (b"\xff\xfe\0", Why.UNKNOWN_REPLY),
    "another program": (b"HTTP/1.1 400 Bad Request\0", Why.UNKNOWN_REPLY),
    "not told": (b"COMMAND UNAVAILABLE\0", Why.UNKNOWN_REPLY),
    "half": (b"ClamAV 1.4", Why.TRUNCATED_REPLY),
    "nothing": (b"", Why.NO_REPLY),
}


@pytest.mark.parametrize("fault", VERSION_FAULTS)
def test_no_verdict_counts_without_a_version(fault: str, upload: Path, tmp_path: Path):
    reply, reason = VERSION_FAULTS[fault]

    with fake_clamd(tmp_path, well, {b"VERSION": reply}) as address:
        certificate = scanner(address).scan(upload)
        with pytest.raises(ScannerUnavailable, match=reason):
            scanner(address).describe()

    assert ("not_scanned", reason) == (certificate.verdict, certificate.reason)


def test_local_signatures_have_no_date(tmp_path: Path):
    with fake_clamd(tmp_path, other={b"VERSION": b"ClamAV 1.4.6\0"}) as address:
        assert scanner(address).describe() == ("ClamAV 1.4.6", "local signatures only")


@pytest.mark.parametrize(
    ("version", "said"),
    [
        (b"ClamAV 1.4.6\0", "our own rules"),
        (b"ClamAV 1.4.6/27456/Thu Nov 14 10:31:23 2024\0", "27456 of Thu Nov 14 10:31:23 2024"),
    ],
    ids=["local ones", "ClamAV's own"],
)
def test_local_signatures_are_called_what_their_owner_says(version, said, upload, tmp_path):
    with fake_clamd(tmp_path, well, {b"VERSION": version}) as address:
        named = ClamdScanner(address, PATIENT, local_signatures="our own rules")
        assert (said, said) == (named.describe()[1], named.scan(upload).signatures)


@pytest.mark.parametrize(
    ("reply", "reason"),
    [
        (b"PONGO\0", Why.UNKNOWN_REPLY),
        (b"PONG", Why.TRUNCATED_REPLY),
        (b"", Why.NO_REPLY),
        (b"stream: OK\0", Why.UNKNOWN_REPLY),
    ],
)
def test_a_ping_wants_a_pong(reply: bytes, reason: Why, tmp_path: Path):
    with (
        fake_clamd(tmp_path, other={b"PING": reply}) as address,
        pytest.raises(ScannerUnavailable, match=reason),
    ):
        scanner(address).ping()

    (tmp_path / "fake.sock").unlink()
    with fake_clamd(tmp_path) as address:
        scanner(address).ping()


def test_without_pyclamd_the_error_names_what_to_install(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setitem(sys.modules, "pyclamd", None)
    monkeypatch.delitem(sys.modules, "uploadmill.backends.scanner.strict", raising=False)
    monkeypatch.delattr("uploadmill.backends.scanner.strict", raising=False)

    with pytest.raises(InvalidSettings, match=r"install uploadmill\[worker\]"):
        ClamdScanner("unix:///nowhere")


def test_pyclamd_as_it_stands_calls_some_faults_clean(tmp_path: Path):
    # Given the faults that need no patience, and a short upload, since it sends only a part of it
    at_once = [
        fault
        for fault, (_, reason) in FAULTS.items()
        if reason in (Why.NO_REPLY, Why.TRUNCATED_REPLY, Why.UNKNOWN_REPLY)
        and "mid-stream" not in fault
    ]

    # When they are said to it
    called_clean = []
    for fault in at_once:
        folder = tmp_path / fault
        folder.mkdir()
        with fake_clamd(folder, FAULTS[fault][0]) as address:
            stock = pyclamd.ClamdUnixSocket(address.removeprefix("unix://"), SILENCE)
            with suppress(OSError, IndexError, TypeError), ExitStack() as afterwards:
                afterwards.callback(stock._close_socket)
                if stock.scan_stream(b"a short upload") is None:
                    called_clean.append(fault)

    # Then it takes most of them for "clean"
    assert "closes without a word" in called_clean
    assert "OK to another command" in called_clean
    assert len(called_clean) > len(at_once) / 2
