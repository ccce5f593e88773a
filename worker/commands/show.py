"""Job results as a person reads them, on a terminal."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence

from pydantic import JsonValue

from uploadmill.errors import UploadmillError
from uploadmill.job import ErrorData, JobResult, OutputFile
from uploadmill.pipeline import Pin

#: Spaces between two columns.
GAP = "  "


def table(rows: Sequence[Sequence[str]]) -> Iterator[str]:
    """*rows*, all of one length, as lines with aligned columns."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        cells = (cell.ljust(width) for cell, width in zip(row, widths, strict=True))
        yield GAP.join(cells).rstrip()


def size(count: float) -> str:
    """A number of bytes in decimal units, three digits of it."""
    units = ("B", "kB", "MB", "GB")
    unit = 0
    while count >= 1000 and unit < len(units) - 1:  # noqa: PLR2004 - decimal units
        count /= 1000
        unit += 1
    return f"{count:.3g} {units[unit]}" if count < 1000 else f"{count:.0f} {units[unit]}"  # noqa: PLR2004


def error_data(error: UploadmillError | OSError) -> ErrorData:
    """An error as results carry it; one of the operating system is about the path given."""
    if isinstance(error, UploadmillError):
        return ErrorData(code=error.code, message=str(error), retryable=error.transient)
    reason = error.strerror or type(error).__name__
    return ErrorData(code="not_readable", message=f"{error.filename}: {reason}")


def describe(result: JobResult) -> Iterator[str]:
    """The whole of *result* but for its exact digits: those are what ``--json`` is for."""
    yield f"{result.filename or 'upload'}: {result.state} (job {result.job_id})"
    if result.error:
        yield f"  {result.error.code}: {result.error.message}"
    yield from _block("Outputs", _outputs(result))
    yield from _block("Found out", _extracted(result))
    yield from _block("Steps", _steps(result))
    yield ""
    yield f"Scan: {certificate(result)}"


def certificate(result: JobResult) -> str:
    """The scan certificate in one line."""
    found = result.certificate
    if found is None:
        return "nothing was scanned"
    what = found.signature or found.reason or ""
    verdict = f"{found.verdict} ({what})" if what else found.verdict
    return f"{verdict}, by {found.engine}, signatures: {found.signatures}, sha256 {found.sha256}"


def _extracted(result: JobResult) -> list[tuple[str, ...]]:
    return [(name, _plain(value)) for name, value in result.extracted.items()]


def _plain(value: JsonValue) -> str:
    """A value on one line, without the punctuation of JSON where it can do without."""
    if isinstance(value, dict):
        return ", ".join(f"{name} {_plain(item)}" for name, item in value.items())
    return value if isinstance(value, str) else json.dumps(value)


def _block(title: str, rows: Sequence[Sequence[str]]) -> Iterator[str]:
    if rows:
        yield ""
        yield title
        yield from (f"  {line}" for line in table(rows))


def _outputs(result: JobResult) -> list[tuple[str, ...]]:
    before = next((r.bytes_in for r in result.receipts if r.step == Pin.step), 0)
    rows = [
        (name, _pixels(file), size(file.size), saved(before, file.size), *_place(file))
        for name, file in result.outputs.items()
    ]
    headings = ("output", "pixels", "size", "saved", "type", "store", "where")
    return [headings, *rows] if rows else []


def _place(file: OutputFile) -> tuple[str, str, str]:
    return file.content_type, file.store or "", file.url or file.key


def _pixels(file: OutputFile) -> str:
    return f"{file.width} x {file.height}" if file.width else ""


def saved(before: int, after: int) -> str:
    """How much smaller *after* is, in per cent."""
    return f"{100 * (before - after) / before:.1f} %" if before else ""


def _steps(result: JobResult) -> list[tuple[str, ...]]:
    rows = [
        (r.step, f"{r.ms:.1f} ms", size(r.bytes_in), size(r.bytes_out), r.changed or "")
        for r in result.receipts
    ]
    return [("step", "time", "in", "out", "changed"), *rows] if rows else []
