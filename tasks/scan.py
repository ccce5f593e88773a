"""Have the pinned bytes scanned for viruses; only a clean verdict lets a job go on."""

from __future__ import annotations

from pathlib import Path

from uploadmill.backends.scanner.base import Scanner
from uploadmill.errors import InfectedUpload, ScannerUnavailable, UnscannableUpload
from uploadmill.job import NotScanned, ScanCertificate
from uploadmill.pipeline import Scan
from uploadmill.tasks.base import StepTask
from uploadmill.tasks.work import StepResult
from uploadmill.wire import task_name


def scan(source: Path, scanner: Scanner) -> ScanCertificate:
    """Scan *source* and return the certificate that it is clean.

    Raises:
        InfectedUpload: The scanner found something.
        UnscannableUpload: The scanner cannot look at all of this file, now or later.
        ScannerUnavailable: No valid answer; the job waits.
    """
    certificate = scanner.scan(source)
    if certificate.verdict == "clean":
        return certificate
    if certificate.verdict == "infected":
        raise InfectedUpload(certificate.signature or "something unnamed", certificate)
    reason = certificate.reason or NotScanned.UNKNOWN_REPLY
    if reason.permanent:
        raise UnscannableUpload(reason, certificate)
    raise ScannerUnavailable(reason)


class ScanTask(StepTask):
    """Celery's side of :func:`scan`."""

    name = task_name(Scan.step)

    def run(self, job_id: str) -> StepResult:
        """Scan the upload as it was pinned."""
        return StepResult(certificate=scan(self.work(job_id).original, self.mill.scanner))
