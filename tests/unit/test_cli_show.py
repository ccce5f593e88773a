"""Results as a person reads them."""

from datetime import UTC, datetime

import pytest

from uploadmill.job import (
    ErrorData,
    JobResult,
    JobState,
    JobTimes,
    NotScanned,
    OutputFile,
    Receipt,
    ScanCertificate,
)
from uploadmill.worker.commands.show import certificate, describe, saved, size, table

NOW = datetime(2026, 1, 1, tzinfo=UTC)

RESULT = JobResult(
    job_id="0190a000-0000-7000-8000-000000000000",
    pipeline="photo",
    state=JobState.STORED,
    filename="cat.jpg",
    outputs={
        "thumb": OutputFile(
            key="j/thumb.jpg",
            content_type="image/jpeg",
            size=20_000,
            sha256="a" * 64,
            width=320,
            height=240,
            store="primary",
            url="https://cdn.example/j/thumb.jpg",
        )
    },
    extracted={"width": 4000, "exif": {"make": "ACME"}, "dpi": [72.0]},
    receipts=(Receipt(step="pin", ms=12.34, bytes_in=1_000_000, bytes_out=1_000_000),),
    times=JobTimes(enqueued_at=NOW),
)

CERTIFICATE = ScanCertificate(
    sha256="b" * 64, verdict="clean", engine="ClamAV 1.4.6", signatures="27000", scanned_at=NOW
)


def test_columns_are_aligned():
    assert ["a    bb", "ccc  d"] == list(table([("a", "bb"), ("ccc", "d")]))


@pytest.mark.parametrize(
    ("count", "text"),
    [(0, "0 B"), (999, "999 B"), (1000, "1 kB"), (1_234_567, "1.23 MB"), (2e12, "2000 GB")],
)
def test_sizes_have_three_digits(count, text):
    assert text == size(count)


def test_what_was_saved_is_in_per_cent_of_the_upload():
    assert "98.0 %" == saved(1_000_000, 20_000)
    assert "-50.0 %" == saved(100, 150)
    assert "" == saved(0, 20_000)


def test_a_stored_job_shows_outputs_facts_and_steps():
    text = "\n".join(describe(RESULT))

    assert text.startswith("cat.jpg: stored (job 0190a000-0000-7000-8000-000000000000)")
    assert "thumb   320 x 240  20 kB  98.0 %  image/jpeg  primary  https://cdn.example/j" in text
    assert "exif   make ACME" in text
    assert "pin   12.3 ms  1 MB  1 MB" in text
    assert text.endswith("Scan: nothing was scanned")


def test_a_rejected_job_shows_why_and_no_empty_table():
    error = ErrorData(code="corrupt_upload", step="validate", message="it breaks off")
    update = {"state": JobState.REJECTED, "error": error, "outputs": {}, "receipts": ()}
    lines = list(describe(RESULT.model_copy(update=update)))

    assert "  corrupt_upload: it breaks off" == lines[1]
    assert not {"Outputs", "Steps"} & set(lines)


def test_a_certificate_names_verdict_engine_and_bytes():
    found = {"verdict": "infected", "signature": "Eicar"}
    not_seen = {"verdict": "not_scanned", "reason": NotScanned.ENCRYPTED}

    def shown(**update: object) -> str:
        changed = CERTIFICATE.model_copy(update=update)
        return certificate(RESULT.model_copy(update={"certificate": changed}))

    assert f"clean, by ClamAV 1.4.6, signatures: 27000, sha256 {'b' * 64}" == shown()
    assert shown(**found).startswith("infected (Eicar), by")
    assert shown(**not_seen).startswith("not_scanned (encrypted), by")
