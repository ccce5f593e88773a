"""The virus scanner: it answers, finds what it should, and looks at files as large as we take."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

from uploadmill.backends.scanner.clamd import ClamdScanner
from uploadmill.errors import InvalidSettings, ScannerUnavailable
from uploadmill.job import NotScanned, ScanCertificate
from uploadmill.settings import Settings
from uploadmill.worker.checks.clamd_limit import stream_limit
from uploadmill.worker.checks.configured import max_size, plans
from uploadmill.worker.checks.finding import Finding, fault, good, warning
from uploadmill.worker.embedded.clamd import LARGEST
from uploadmill.worker.embedded.eicar import eicar

#: Days after which signatures are old: ClamAV's are renewed every day.
OLD = 7

WAITING = "jobs wait at their scan step until their deadline"

MISSED = "viruses would pass as clean"


def check_scanner(settings: Settings) -> Iterator[Finding]:
    """PING, VERSION, the EICAR test file, and a stream of our size limit."""
    sizes = {name: max_size(plan) for name, plan in plans(settings).items() if plan.scans}
    if not settings.scanner.required:
        yield warning(
            "scanner",
            "scanning is off: scanner.required is false",
            "nothing looks for viruses; results have no certificate",
            "set scanner.required = true and scanner.address",
        )
        return
    if not sizes:
        yield good("scanner", "no pipeline scans")
        return
    try:
        scanner = ClamdScanner.of(settings.scanner)
        scanner.ping()
        engine, signatures = scanner.describe()
    except InvalidSettings as error:
        yield fault("scanner", str(error), WAITING, "install uploadmill[worker]")
        return
    except ScannerUnavailable as error:
        how = "start clamd, let this user into its socket, or correct scanner.address"
        yield fault("scanner", f"{settings.scanner.address}: {error}", WAITING, how)
        return
    yield good("scanner", f"{engine} at {settings.scanner.address}, signatures: {signatures}")
    yield from _age(signatures)
    with tempfile.TemporaryDirectory(prefix="uploadmill-") as folder:
        yield _finds(scanner, Path(folder))
        pipeline = max(sizes, key=lambda name: sizes[name])
        yield _looks_at(scanner, settings, Path(folder), pipeline, sizes[pipeline])


def _age(signatures: str) -> Iterator[Finding]:
    """Signatures as old as a week are a freshclam that does not run."""
    _, _, date = signatures.partition(" of ")
    try:
        made = datetime.strptime(date, "%a %b %d %H:%M:%S %Y").replace(tzinfo=UTC)
    except ValueError:
        return
    age = datetime.now(UTC) - made
    if age > timedelta(days=OLD):
        yield warning(
            "signatures",
            f"{age.days} days old",
            "clamd does not know what has come up since",
            "let freshclam run",
        )


def _finds(scanner: ClamdScanner, folder: Path) -> Finding:
    """The test file is infected, and other bytes are not."""
    infected = _scan(scanner, folder, eicar())
    clean = _scan(scanner, folder, b"Nothing is wrong with this.\n")
    if infected.verdict != "infected":
        how = "let freshclam fetch signatures, and restart clamd"
        return fault("scanner finds", f"the EICAR test file is {_verdict(infected)}", MISSED, how)
    if clean.verdict != "clean":
        how = "look at clamd's log"
        return fault("scanner finds", f"a plain text is {_verdict(clean)}", "no job ends well", how)
    return good("scanner finds", f"the EICAR test file, as {infected.signature}")


def _looks_at(
    scanner: ClamdScanner, settings: Settings, folder: Path, pipeline: str, size: int
) -> Finding:
    """Whether clamd really looks at an upload of the largest size that is to be scanned."""
    check = "scanner limit"
    lower = f"or lower the max_size of pipeline {pipeline!r} to what clamd takes"
    how = (
        f"set StreamMaxLength, MaxFileSize and MaxScanSize to {size} or more in clamd.conf, {lower}"
    )
    what = f"uploads of {size:,} bytes (pipeline {pipeline!r})"
    if size > LARGEST:
        why = f"ClamAV looks at nothing above {LARGEST:,} bytes; such uploads are quarantined"
        return fault(check, f"{what} are to be scanned", why, f"lower its max_size to {LARGEST}")
    limit = stream_limit(settings.scanner.address)
    if limit is not None and limit < size:
        why = "larger ones are quarantined as unscannable"
        return fault(check, f"clamd's StreamMaxLength is {limit:,}: too low for {what}", why, how)
    # Where the signatures find the test file only alone, a long one tells nothing about looking.
    findable = _scan(scanner, folder, eicar(), 4096).verdict == "infected"
    found = _scan(scanner, folder, eicar(), size)
    if found.reason is NotScanned.LIMIT_EXCEEDED:
        why = "they are quarantined as unscannable"
        return fault(check, f"{what} exceed a limit of clamd: {found.signature}", why, how)
    if found.verdict == "not_scanned":
        why = "they wait, and end as failed"
        more = "look at clamd's log and the room in its TemporaryDirectory; raise scanner.timeout"
        return fault(check, f"{what} are {_verdict(found)}", why, more)
    if findable and found.verdict == "clean":
        more = f"{how}; set AlertExceedsMax yes"
        return fault(check, f"clamd calls {what} clean without looking at them", MISSED, more)
    return good(check, f"{what} are looked at")


def _scan(scanner: ClamdScanner, folder: Path, start: bytes, size: int = 0) -> ScanCertificate:
    """Scan *start*, followed by zeros up to *size*: a file with a hole, which takes no room."""
    path = folder / "sample"
    with path.open("wb") as file:
        file.write(start)
        file.truncate(max(size, len(start)))
    try:
        return scanner.scan(path)
    finally:
        path.unlink()


def _verdict(certificate: ScanCertificate) -> str:
    name = certificate.signature or certificate.reason
    verdict = certificate.verdict.replace("_", " ")
    return f"{verdict} ({name})" if name else verdict
