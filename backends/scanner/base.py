"""What a scanner answers."""

from __future__ import annotations

from pathlib import Path
from typing import Protocol

from uploadmill.job import ScanCertificate


class Scanner(Protocol):
    """Something that looks at bytes and says what it saw."""

    def scan(self, path: Path) -> ScanCertificate:
        """Scan the file at *path*.

        Never raises because of the scanner: whatever is not a valid verdict comes back as
        ``not_scanned`` with its :class:`~uploadmill.job.NotScanned` reason. The certificate's
        sha256 is that of the bytes as they were sent to the scanner.
        """

    def ping(self) -> None:
        """Answer within seconds, or raise :class:`~uploadmill.errors.ScannerUnavailable`."""

    def describe(self) -> tuple[str, str]:
        """Engine and signature database, as certificates name them.

        Raises:
            ScannerUnavailable: No valid answer.
        """
