"""Fit a picture into boxes, decoding it once; what it writes is uncompressed, never encoded."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from PIL import Image, TiffImagePlugin
from PIL.Image import Resampling
from PIL.JpegImagePlugin import JpegImageFile

from uploadmill.pipeline import MAX_PIXELS, Box, Resize
from uploadmill.tasks.base import StepTask, options_of, run_processor
from uploadmill.tasks.exif import (
    KEEPABLE,
    displayed,
    kept_fields,
    orientation_of,
    read_exif,
    upright,
)
from uploadmill.tasks.picture import INTERMEDIATE, load, open_picture
from uploadmill.tasks.validate import media_type
from uploadmill.tasks.work import ORIGINAL, Produced, StepResult, Work
from uploadmill.wire import task_name

#: A smaller box is made from a larger one's result only if that is at least twice as large: then
#: nobody can tell it from one made from the upload (0.1 dB), and a thumbnail takes 7 ms, not 35.
REUSE = 2

#: Rows resized at a time. Resizing makes a copy of the width it makes and the height it was
#: given; in bands that copy stays small. Bands overlap: at 256 rows that costs two in a hundred.
BAND = 256

#: Bytes of the TIFF written and read at a time. Pillow's 64 kB make 70 strips of a picture.
STRIP = 1 << 18


@dataclass(frozen=True, slots=True)
class Size:
    """Width and height in pixels."""

    width: int
    height: int

    def reaches(self, other: Size, factor: int = 1) -> bool:
        """Whether both sides are at least *factor* times the other's."""
        return self.width >= factor * other.width and self.height >= factor * other.height


@dataclass(frozen=True, slots=True)
class Fit:
    """How a box is filled: the picture at *scaled*, of which the middle is kept, *final* large."""

    scaled: Size
    final: Size

    @classmethod
    def of(cls, picture: Size, box: Box) -> Fit:
        """Fit *picture* inside *box*, or let it cover a box that crops; never enlarge."""
        ratios = (box.width / picture.width, box.height / picture.height)
        ratio = min(1.0, max(ratios) if box.crop else min(ratios))
        scaled = Size(_sides(picture.width, ratio), _sides(picture.height, ratio))
        if not box.crop:
            return cls(scaled, scaled)
        return cls(scaled, Size(min(box.width, scaled.width), min(box.height, scaled.height)))


def resize(
    source: Path,
    targets: Mapping[str, Path],
    boxes: Mapping[str, Box],
    *,
    content_type: str | None = None,
    max_pixels: int = MAX_PIXELS,
) -> dict[str, Size]:
    """Fit *source* into every box and write each result as an uncompressed TIFF, upright.

    A JPEG is decoded at the smallest of its half, quarter and eighth scales that still covers
    every box. The colour profile and the EXIF fields that may be kept go into the TIFF.

    Args:
        source: An image file in the workspace.
        targets: Where to write, by output name.
        boxes: The boxes, by the same names.
        content_type: Of *source*; found out where not given.
        max_pixels: Pixels times frames, read from the header before anything is decoded.

    Returns:
        The size of each picture written.

    Raises:
        PixelLimitExceeded: The header announces more than *max_pixels*.
        CorruptUpload: The decoder gave up on it.
    """
    content_type = content_type or media_type(source)
    with open_picture(source, content_type, max_pixels) as opened:
        exif = read_exif(opened, source, content_type)
        orientation = orientation_of(exif)
        tags = _tags(kept_fields(exif, KEEPABLE))
        icc = opened.info.get("icc_profile")
        fits = _fits(Size(*opened.size), boxes, orientation)
        if isinstance(opened, JpegImageFile):
            opened.draft(None, _largest(fit.scaled for fit in fits.values()))
        load(opened)
        pictures = [_workable(opened)]
    for name, fit in sorted(fits.items(), key=lambda item: -item[1].scaled.width):
        picture = _scaled(_base(pictures, fit), fit)
        if fit.final == fit.scaled:
            pictures.append(picture)
        _write(upright(picture, orientation), targets[name], icc, tags)
    return {
        name: Size(*displayed(fit.final.width, fit.final.height, orientation))
        for name, fit in fits.items()
    }


def _fits(picture: Size, boxes: Mapping[str, Box], orientation: int) -> dict[str, Fit]:
    """How each box is filled, as the picture lies in the file: it is turned last, when small."""
    fits = {}
    for name, box in boxes.items():
        width, height = displayed(box.width, box.height, orientation)
        fits[name] = Fit.of(picture, Box(width=width, height=height, crop=box.crop))
    return fits


def _sides(side: int, ratio: float) -> int:
    return max(1, round(side * ratio))


def _largest(sizes: Iterable[Size]) -> tuple[int, int]:
    """The size that covers all *sizes*."""
    found = list(sizes)
    return max(size.width for size in found), max(size.height for size in found)


def _workable(picture: Image.Image) -> Image.Image:
    """The picture in a mode that can be resized: colours, not places in a palette.

    Alpha is multiplied in, so that no colour bleeds out of what is transparent.
    """
    if picture.has_transparency_data:
        grey = picture.mode in ("L", "LA")
        return picture.convert("LA" if grey else "RGBA").convert("La" if grey else "RGBa")
    if picture.mode == "1":
        return picture.convert("L")
    return picture.convert("RGB") if picture.mode == "P" else picture


def _base(pictures: list[Image.Image], fit: Fit) -> Image.Image:
    """The smallest picture there is from which *fit* can be made without loss."""
    large = [p for p in pictures[1:] if Size(*p.size).reaches(fit.scaled, REUSE)]
    return min(large, key=lambda p: p.width, default=pictures[0])


def _scaled(picture: Image.Image, fit: Fit) -> Image.Image:
    """*picture* at the size that *fit* scales to, cut down to its middle."""
    across, down = picture.width / fit.scaled.width, picture.height / fit.scaled.height
    left = (fit.scaled.width - fit.final.width) // 2
    top = (fit.scaled.height - fit.final.height) // 2
    right = left + fit.final.width
    if Size(*picture.size) == fit.scaled:
        return picture.crop((left, top, right, top + fit.final.height))
    # Not filled: every row is pasted over.
    made = Image.new(picture.mode, (fit.final.width, fit.final.height), None)
    for row in range(0, fit.final.height, BAND):
        rows = min(BAND, fit.final.height - row)
        area = (left * across, (top + row) * down, right * across, (top + row + rows) * down)
        band = picture.resize((fit.final.width, rows), Resampling.LANCZOS, box=area)
        made.paste(band, (0, row))
    return made


def _tags(fields: Mapping[int, bytes]) -> TiffImagePlugin.ImageFileDirectory_v2:
    """EXIF fields as TIFF tags; they have the same numbers."""
    tags = TiffImagePlugin.ImageFileDirectory_v2()
    for tag, value in fields.items():
        tags[tag] = value
    return tags


def _write(
    picture: Image.Image,
    target: Path,
    icc: bytes | None,
    tags: TiffImagePlugin.ImageFileDirectory_v2,
) -> None:
    """Write *picture* and nothing else that came with the upload."""
    straight = {"La": "LA", "RGBa": "RGBA"}.get(picture.mode)
    picture = picture.convert(straight) if straight else picture
    picture.info = {}
    picture.save(target, "TIFF", icc_profile=icc or b"", tiffinfo=tags, strip_size=STRIP)


def resize_step(work: Work) -> StepResult:
    """Make the boxes' pictures from the current picture; they are the outputs from now on."""
    options = options_of(work, Resize)
    targets = {name: work.target(name) for name in options.boxes}
    source = work.files.get(ORIGINAL, work.original)
    content_type = work.content_type_of(ORIGINAL) if ORIGINAL in work.files else work.content_type
    sizes = run_processor(
        Resize.step,
        resize,
        source,
        targets,
        options.boxes,
        content_type=content_type,
        max_pixels=options.max_pixels or MAX_PIXELS,
    )
    files = {
        name: Produced(targets[name], INTERMEDIATE, size.width, size.height)
        for name, size in sizes.items()
    }
    made = ", ".join(f"{name} {size.width}x{size.height}" for name, size in sizes.items())
    return StepResult(files=files, changed=made)


class ResizeTask(StepTask):
    """Celery's side of :func:`resize`."""

    name = task_name(Resize.step)

    def run(self, job_id: str) -> StepResult:
        """Make the boxes' pictures."""
        return resize_step(self.work(job_id))
