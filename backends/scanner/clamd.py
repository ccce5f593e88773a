"""ClamAV's daemon as the scanner; every answer that is not plainly a verdict is *not scanned*."""

from __future__ import annotations

import hashlib
import re
import struct
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, Literal, NamedTuple, Self

from uploadmill.errors import InvalidSettings, ScannerUnavailable
from uploadmill.job import NotScanned, ScanCertificate
from uploadmill.settings import LOCAL_SIGNATURES, ScannerSettings

if TYPE_CHECKING:
    from hashlib import _Hash

    from uploadmill.backends.scanner.strict import StrictClamd

#: Bytes of a chunk of the stream: 64 KiB costs a seventh more CPU, 1 MiB saves nothing more.
CHUNK = 256 * 1024

#: Seconds for a whole scan; below the 120 of the scan step, which then ends with a reason.
SCAN_LIMIT = 110.0

#: Seconds in which PING and VERSION must be answered.
PING_LIMIT = 5.0

#: What certificates say when clamd has not told its version.
UNKNOWN = "unknown"

FOUND = re.compile(r"stream: (?!OK )(\S+) FOUND")
VERSION = re.compile(r"(ClamAV [^/\s]+)(?:/(\d+)/(\S.*))?")


class Verdict(NamedTuple):
    """What one reply means."""

    verdict: Literal["clean", "infected", "not_scanned"]
    reason: NotScanned | None = None
    signature: str | None = None


def judge(reply: str) -> Verdict:
    """Say what clamd's *reply* to INSTREAM means; only ``stream: OK`` means clean."""
    if reply == "stream: OK":
        return Verdict("clean")
    if found := FOUND.fullmatch(reply):
        return _judge_signature(found[1])
    if reply == "INSTREAM size limit exceeded. ERROR":
        return Verdict("not_scanned", NotScanned.LIMIT_EXCEEDED)
    if reply.endswith(" ERROR"):
        return Verdict("not_scanned", NotScanned.SCANNER_ERROR)
    return Verdict("not_scanned", NotScanned.UNKNOWN_REPLY)


def _judge_signature(name: str) -> Verdict:
    # With AlertExceedsMax and AlertEncrypted clamd says FOUND where it could not look.
    if name.startswith("Heuristics.Limits.Exceeded"):
        return Verdict("not_scanned", NotScanned.LIMIT_EXCEEDED, name)
    if name.startswith("Heuristics.Encrypted"):
        return Verdict("not_scanned", NotScanned.ENCRYPTED, name)
    return Verdict("infected", None, name)


def frames(source: BinaryIO, digest: _Hash) -> Iterator[memoryview]:
    """Yield *source* as INSTREAM wants it, and hash what is yielded.

    A frame is a length and as many bytes; an empty one ends the stream. Each is valid until the
    next one is asked for: they share one buffer.
    """
    buffer = memoryview(bytearray(4 + CHUNK))
    count = CHUNK
    while count:
        count = source.readinto(buffer[4:])  # type: ignore[attr-defined] # of every binary file
        struct.pack_into("!L", buffer, 0, count)
        digest.update(buffer[4 : 4 + count])
        yield buffer[: 4 + count]


class ClamdScanner:
    """A clamd that is asked over a unix socket or TCP; usable from several threads.

    Args:
        address: ``unix:///path`` or ``tcp://host:port``.
        timeout: Seconds that clamd may stay silent.
        limit: Seconds that one scan may take, however busy clamd looks.
        local_signatures: What certificates call signatures of which clamd tells nothing: those
            that are not ClamAV's own.

    Raises:
        InvalidSettings: pyclamd is not installed.
    """

    def __init__(
        self,
        address: str,
        timeout: float = 60.0,
        limit: float = SCAN_LIMIT,
        local_signatures: str = LOCAL_SIGNATURES,
    ) -> None:
        try:
            from uploadmill.backends.scanner import strict  # noqa: PLC0415 - an optional package
        except ModuleNotFoundError as error:
            message = "scanning with clamd needs pyclamd: install uploadmill[worker]"
            raise InvalidSettings(message) from error
        self._strict = strict
        self._address = address
        self._timeout = timeout
        self._limit = limit
        self._local_signatures = local_signatures

    @classmethod
    def of(cls, settings: ScannerSettings) -> Self:
        """The one that the settings name."""
        signatures = settings.local_signatures
        return cls(settings.address, settings.timeout, local_signatures=signatures)

    def scan(self, path: Path) -> ScanCertificate:
        """Scan the file at *path*; see :class:`~uploadmill.backends.scanner.base.Scanner`."""
        until = time.monotonic() + self._limit
        digest = hashlib.sha256()
        engine = signatures = UNKNOWN
        with path.open("rb", buffering=0) as source:
            stream = frames(source, digest)
            try:
                engine, signatures = self._version(self._timeout, until)
                with self._connection(self._timeout, until) as clamd:
                    verdict = judge(clamd.scan_stream(stream))
            except self._strict.NoAnswer as no_answer:
                verdict = Verdict("not_scanned", no_answer.reason)
            # A stream that broke off: the certificate still names the whole file.
            for _ in stream:
                pass
        return ScanCertificate(
            sha256=digest.hexdigest(),
            verdict=verdict.verdict,
            reason=verdict.reason,
            signature=verdict.signature,
            engine=engine,
            signatures=signatures,
            scanned_at=datetime.now(UTC),
        )

    def ping(self) -> None:
        """Answer within seconds, or raise :class:`~uploadmill.errors.ScannerUnavailable`."""
        until = time.monotonic() + PING_LIMIT
        try:
            with self._connection(PING_LIMIT, until) as clamd:
                clamd.ping()
        except self._strict.NoAnswer as no_answer:
            raise ScannerUnavailable(no_answer.reason) from None
        except OSError:
            # pyclamd's own error for anything but PONG.
            raise ScannerUnavailable(NotScanned.UNKNOWN_REPLY) from None

    def describe(self) -> tuple[str, str]:
        """Engine and signature database, as certificates name them.

        Raises:
            ScannerUnavailable: No valid answer.
        """
        try:
            return self._version(PING_LIMIT, time.monotonic() + PING_LIMIT)
        except self._strict.NoAnswer as no_answer:
            raise ScannerUnavailable(no_answer.reason) from None

    def _version(self, silence: float, until: float) -> tuple[str, str]:
        # Asked for every scan, because freshclam changes the signatures of a running clamd; a
        # reload between the two connections makes the certificate name the older ones.
        with self._connection(silence, until) as clamd:
            match = VERSION.fullmatch(clamd.version())
        if match is None:
            raise self._strict.NoAnswer(NotScanned.UNKNOWN_REPLY)
        engine, number, date = match.groups()
        # Without ClamAV's own database there is neither number nor date.
        return engine, f"{number} of {date}" if number else self._local_signatures

    def _connection(self, silence: float, until: float) -> StrictClamd:
        return self._strict.StrictClamd(self._address, silence, until)
