"""Find out by its content what an upload is, and refuse what is not wanted, too large or broken."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import Any

from uploadmill.errors import CorruptUpload, SizeLimitExceeded, UnsupportedMedia
from uploadmill.pipeline import Validate
from uploadmill.tasks.base import StepTask, options_of, run_processor
from uploadmill.tasks.container import check_complete
from uploadmill.tasks.exif import displayed, orientation_of, read_exif
from uploadmill.tasks.picture import check_pixels, frames_of, load, open_picture
from uploadmill.tasks.text import read_text_facts
from uploadmill.tasks.work import ORIGINAL, StepResult, Work
from uploadmill.wire import task_name

#: Bytes at the end of a PDF in which its last lines are looked for, as readers do.
PDF_TAIL = 2048

#: What libmagic calls files that are plain text all the same. It guesses programming languages
#: from ordinary prose; what a browser would run (HTML, XML, JavaScript) is not among them.
PLAIN_TEXT = ("text/plain", "text/csv", "text/x-")

#: Other names of the types we know.
ALIASES = {"image/vnd.mozilla.apng": "image/png", "image/apng": "image/png"}


@dataclass(frozen=True, slots=True)
class Validated:
    """What an upload is: its type by content; of a picture, its size in pixels as displayed."""

    content_type: str
    width: int | None = None
    height: int | None = None
    frames: int = 1


def validate(source: Path, options: Validate) -> Validated:
    """Check *source* against *options*.

    That a picture's end is there is seen from its structure, without decoding it: a JPEG of
    12 MP takes 2 ms where decoding it takes 30 at the very least, and the step that resizes or
    encodes will decode it anyway. ``options.decode`` is for pipelines without such a step.

    Raises:
        UnsupportedMedia: Its content is of no type in ``options.types``.
        SizeLimitExceeded: It has more than ``options.max_size`` bytes.
        PixelLimitExceeded: Its header announces more than ``options.max_pixels``.
        CorruptUpload: It is of the right type, and truncated or broken.
    """
    size = source.stat().st_size
    if size > options.max_size:
        raise SizeLimitExceeded(options.max_size, size)
    content_type = media_type(source)
    if content_type not in options.types:
        wanted = ", ".join(options.types)
        raise UnsupportedMedia(f"the content is {content_type}; this pipeline takes {wanted}")
    return _CHECKS[content_type](source, content_type, options)


def media_type(source: Path) -> str:
    """The media type of the content at *source*, as libmagic sees it."""
    seen = str(_libmagic().from_file(str(source)))
    seen = ALIASES.get(seen, seen)
    return "text/plain" if seen.startswith(PLAIN_TEXT) else seen


@lru_cache(maxsize=1)
def _libmagic() -> Any:
    """Load libmagic and its database, 16 ms, when the first file comes."""
    import magic  # noqa: PLC0415 - fails where libmagic is not installed, and then only here

    return magic.Magic(mime=True)


def _check_picture(source: Path, content_type: str, options: Validate) -> Validated:
    check_pixels(source, content_type, options.max_pixels)
    check_complete(source, content_type)
    with open_picture(source, content_type) as picture:
        orientation = orientation_of(read_exif(picture, source, content_type))
        width, height = displayed(*picture.size, orientation)
        frames = frames_of(picture)
        if options.decode:
            load(picture)
    return Validated(content_type, width, height, frames)


def _check_pdf(source: Path, content_type: str, _options: Validate) -> Validated:
    """A PDF starts with its version and ends with where its table of contents is."""
    with source.open("rb") as file:
        start = file.read(5)
        file.seek(max(0, source.stat().st_size - PDF_TAIL))
        tail = file.read(PDF_TAIL)
    if start != b"%PDF-":
        raise CorruptUpload("the PDF does not start with %PDF-")
    if b"startxref" not in tail or b"%%EOF" not in tail:
        raise CorruptUpload("the PDF is truncated: startxref and %%EOF are missing at its end")
    return Validated(content_type)


def _check_text(source: Path, content_type: str, _options: Validate) -> Validated:
    read_text_facts(source)
    return Validated(content_type)


_CHECKS: Mapping[str, Callable[[Path, str, Validate], Validated]] = {
    "image/jpeg": _check_picture,
    "image/png": _check_picture,
    "image/webp": _check_picture,
    "application/pdf": _check_pdf,
    "text/plain": _check_text,
}


def validate_step(work: Work) -> StepResult:
    """Validate the upload as it was pinned."""
    options = options_of(work, Validate)
    found = run_processor(Validate.step, validate, work.original, options)
    files = {output: work.unchanged(output) for output in work.files}
    if work.files.get(ORIGINAL) == work.original:
        files[ORIGINAL] = replace(
            files[ORIGINAL],
            content_type=found.content_type,
            width=found.width,
            height=found.height,
        )
    return StepResult(files=files, content_type=found.content_type)


class ValidateTask(StepTask):
    """Celery's side of :func:`validate`."""

    name = task_name(Validate.step)

    def run(self, job_id: str) -> StepResult:
        """Validate the upload."""
        return validate_step(self.work(job_id))
