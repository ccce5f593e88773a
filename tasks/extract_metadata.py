"""Describe an upload: type, size, camera, colours. Decodes nothing, and never tells places."""

from __future__ import annotations

import re
from pathlib import Path

from PIL import Image
from pydantic import JsonValue

from uploadmill.pipeline import ExtractMetadata
from uploadmill.tasks.base import StepTask, run_processor
from uploadmill.tasks.colour import profile_name
from uploadmill.tasks.exif import describe_exif, displayed, number, orientation_of, read_exif
from uploadmill.tasks.picture import DECODERS, frames_of, open_picture
from uploadmill.tasks.text import read_text_facts
from uploadmill.tasks.validate import media_type
from uploadmill.tasks.work import StepResult, Work
from uploadmill.wire import task_name

#: Bytes at the start of a PDF in which its version, and for the web its page count, stand.
PDF_HEAD = 1024


def extract_metadata(source: Path, content_type: str) -> dict[str, JsonValue]:
    """Facts about *source*, all safe as JSON and of bounded length.

    Args:
        source: A file in the workspace.
        content_type: Its media type by content.

    Returns:
        ``content_type`` and ``size`` (bytes) for all. For pictures also ``format``, ``mode``,
        ``width`` and ``height`` as displayed, ``frames``, and where there are any ``dpi``,
        ``icc_profile`` and ``exif`` (see :func:`~uploadmill.tasks.exif.describe_exif`). For text
        ``encoding`` and ``lines``; for PDF ``pdf_version``, and ``pages`` where the head says so.

    Raises:
        CorruptUpload: It is not what *content_type* says.
    """
    facts: dict[str, JsonValue] = {"content_type": content_type, "size": source.stat().st_size}
    if content_type in DECODERS:
        facts |= _describe_picture(source, content_type)
    elif content_type == "text/plain":
        found = read_text_facts(source)
        facts |= {"encoding": found.encoding, "lines": found.lines}
    elif content_type == "application/pdf":
        facts |= _describe_pdf(source)
    return facts


def _describe_picture(source: Path, content_type: str) -> dict[str, JsonValue]:
    with open_picture(source, content_type) as picture:
        exif = read_exif(picture, source, content_type)
        width, height = displayed(*picture.size, orientation_of(exif))
        facts: dict[str, JsonValue] = {
            "format": picture.format,
            "mode": picture.mode,
            "width": width,
            "height": height,
            "frames": frames_of(picture),
        }
        optional: dict[str, JsonValue] = {
            "dpi": _dpi(picture),
            "icc_profile": profile_name(picture.info.get("icc_profile")),
            "exif": describe_exif(exif),
        }
    return facts | {name: value for name, value in optional.items() if value}


def _dpi(picture: Image.Image) -> list[JsonValue] | None:
    """Dots per inch, across and down."""
    dpi = picture.info.get("dpi")
    found = [number(value) for value in dpi] if isinstance(dpi, tuple) else []
    return [round(value, 2) for value in found if value] or None


def _describe_pdf(source: Path) -> dict[str, JsonValue]:
    """The version, and the page count of a PDF that is ordered for the web."""
    with source.open("rb") as file:
        head = file.read(PDF_HEAD)
    facts: dict[str, JsonValue] = {}
    if version := re.match(rb"%PDF-(\d\.\d)", head):
        facts["pdf_version"] = version[1].decode()
    if b"/Linearized" in head and (pages := re.search(rb"/N\s+(\d{1,7})\b", head)):
        facts["pages"] = int(pages[1])
    return facts


def extract_metadata_step(work: Work) -> StepResult:
    """Describe the upload as it was pinned."""
    content_type = work.content_type or media_type(work.original)
    facts = run_processor(ExtractMetadata.step, extract_metadata, work.original, content_type)
    return StepResult(extracted=facts)


class ExtractMetadataTask(StepTask):
    """Celery's side of :func:`extract_metadata`."""

    name = task_name(ExtractMetadata.step)

    def run(self, job_id: str) -> StepResult:
        """Describe the upload."""
        return extract_metadata_step(self.work(job_id))
