"""Encode each output once, for the web; what the upload knew beside its pixels stays behind."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from PIL import Image

from uploadmill.errors import UnsupportedMedia
from uploadmill.pipeline import IMAGE_TYPES, MAX_PIXELS, Optimize
from uploadmill.tasks.base import StepTask, options_of, run_processor
from uploadmill.tasks.colour import fits, to_srgb
from uploadmill.tasks.exif import kept_fields, orientation_of, read_exif, upright
from uploadmill.tasks.picture import DECODERS, load, open_picture
from uploadmill.tasks.validate import media_type
from uploadmill.tasks.work import Produced, StepResult, Work
from uploadmill.wire import task_name

#: From this quality on a JPEG keeps colour at full resolution: below it, halving it saves a
#: tenth of the bytes unseen; who asks for more wants red text on blue to stay sharp.
FULL_COLOUR_QUALITY = 90

#: zlib's level. At 4 graphics are within 2 % of the size at 6 and photographs within 8 %, for
#: half the CPU time and less (measured with zlib-ng, which Pillow brings).
PNG_LEVEL = 4

#: libwebp's effort, its own default: 2 is twice as fast and makes graphics 7 % larger.
WEBP_METHOD = 4

#: What shows through where a picture is transparent and its new format cannot be.
BACKGROUND = "white"


class Format(NamedTuple):
    """An output format: its media type, Pillow's name, and the modes and sides it can hold."""

    content_type: str
    encoder: str
    modes: frozenset[str]
    longest_side: int


FORMATS: Mapping[str, Format] = {
    "jpeg": Format("image/jpeg", "JPEG", frozenset({"L", "RGB"}), 65_500),
    "png": Format(
        "image/png", "PNG", frozenset({"1", "L", "LA", "P", "RGB", "RGBA", "I;16"}), 2**31 - 1
    ),
    "webp": Format("image/webp", "WEBP", frozenset({"RGB", "RGBA"}), 16_383),
}


@dataclass(frozen=True, slots=True)
class Encoded:
    """A picture as it was written; width and height in pixels."""

    content_type: str
    width: int
    height: int


def optimize(
    source: Path,
    target: Path,
    options: Optimize,
    upload_type: str,
    source_type: str | None = None,
) -> Encoded:
    """Encode the picture at *source* into *target*, once.

    The colour profile stays if it fits what is written; CMYK, and grey that becomes colour, are
    converted to sRGB by it. Of EXIF only the fields that ``options.keep`` names stay, of other
    metadata nothing.

    Args:
        source: An image file in the workspace: the upload, or what a step made of it.
        target: A new file.
        options: Quality, format, fields to keep.
        upload_type: The upload's media type, which ``format="auto"`` keeps.
        source_type: The media type of *source*, where that is not the upload.

    Raises:
        PixelLimitExceeded: The header announces more than ``options.max_pixels``.
        UnsupportedMedia: It is too long or too high for its new format.
        CorruptUpload: The decoder gave up on it.
    """
    form = _format(options, upload_type)
    source_type = source_type or upload_type
    with open_picture(source, source_type, options.max_pixels or MAX_PIXELS) as opened:
        _check_sides(opened, form)
        exif = read_exif(opened, source, source_type)
        icc = opened.info.get("icc_profile")
        load(opened)
        picture = upright(_fitting(opened, form, icc), orientation_of(exif))
    picture.info = {name: value for name, value in picture.info.items() if name == "transparency"}
    kept = Image.Exif()
    for tag, value in kept_fields(exif, options.keep).items():
        kept[tag] = value
    picture.save(
        target,
        form.encoder,
        icc_profile=icc if fits(icc, picture.mode) else None,
        exif=kept.tobytes() if kept else b"",
        **_settings(form, options),
    )
    return Encoded(form.content_type, *picture.size)


def _format(options: Optimize, upload_type: str) -> Format:
    """The format asked for; ``auto`` keeps the upload's, and makes PNG of what has none here."""
    if options.format != "auto":
        return FORMATS[options.format]
    by_type = {form.content_type: form for form in FORMATS.values()}
    return by_type.get(upload_type, FORMATS["png"])


def _check_sides(picture: Image.Image, form: Format) -> None:
    if max(picture.size) > form.longest_side:
        raise UnsupportedMedia(
            f"the picture has {picture.width} by {picture.height} pixels; {form.encoder} takes "
            f"{form.longest_side} a side at most: a step before this one must make it smaller"
        )


def _settings(form: Format, options: Optimize) -> dict[str, Any]:
    """What the encoder is told."""
    if form.encoder == "JPEG":
        full = options.quality >= FULL_COLOUR_QUALITY
        return {
            "quality": options.quality,
            "progressive": True,
            "optimize": True,
            "subsampling": "4:4:4" if full else "4:2:0",
        }
    if form.encoder == "PNG":
        return {"compress_level": PNG_LEVEL}
    return {"quality": options.quality, "method": WEBP_METHOD}


def _fitting(picture: Image.Image, form: Format, icc: bytes | None) -> Image.Image:
    """The picture in a mode that *form* can hold."""
    if picture.has_transparency_data:
        return _transparent(picture, form, icc)
    if picture.mode in form.modes:
        return picture
    if picture.mode == "CMYK":
        return to_srgb(picture, icc)
    if picture.mode == "P":
        return picture.convert("RGB")
    grey = _eight_bits(picture)
    return grey if "L" in form.modes else to_srgb(grey, icc)


def _transparent(picture: Image.Image, form: Format, icc: bytes | None) -> Image.Image:
    """A picture with transparency, kept where *form* can, else laid on the background."""
    if picture.mode in form.modes and form.encoder == "PNG":
        return picture
    grey = picture.mode in ("L", "LA")
    picture = picture.convert("LA" if grey else "RGBA")
    if picture.mode in form.modes:
        return picture
    alpha = picture.getchannel("A")
    opaque = picture.getchannel("L") if grey else picture.convert("RGB")
    if "RGBA" in form.modes:
        coloured = to_srgb(opaque, icc)
        coloured.putalpha(alpha)
        return coloured
    ground = Image.new(opaque.mode, opaque.size, BACKGROUND)
    ground.paste(opaque, mask=alpha)
    return ground


def _eight_bits(picture: Image.Image) -> Image.Image:
    """A grey picture of one or sixteen bits at eight."""
    if picture.mode == "I;16":
        return picture.convert("I").point(lambda value: value * (1 / 257)).convert("L")
    return picture.convert("L")


def optimize_step(work: Work) -> StepResult:
    """Encode every current output; files of uploads that are no pictures stay as they are."""
    upload_type = work.content_type or media_type(work.original)
    if upload_type not in IMAGE_TYPES:
        return StepResult()
    options = options_of(work, Optimize)
    files = {output: _optimized(work, output, options, upload_type) for output in work.files}
    types = ", ".join(sorted({str(made.content_type) for made in files.values()}))
    return StepResult(files=files, changed=f"encoded as {types}, quality {options.quality}")


def _optimized(work: Work, output: str, options: Optimize, upload_type: str) -> Produced:
    source_type = work.content_type_of(output) or media_type(work.files[output])
    if source_type not in DECODERS:
        return work.unchanged(output)
    target = work.target(output)
    encoded = run_processor(
        Optimize.step, optimize, work.files[output], target, options, upload_type, source_type
    )
    return Produced(target, encoded.content_type, encoded.width, encoded.height)


class OptimizeTask(StepTask):
    """Celery's side of :func:`optimize`."""

    name = task_name(Optimize.step)

    def run(self, job_id: str) -> StepResult:
        """Encode every current output."""
        return optimize_step(self.work(job_id))
