"""Reading EXIF that somebody may have made to hurt: nothing here raises, everything is bounded."""

from __future__ import annotations

import math
from collections.abc import Iterable
from contextlib import suppress
from datetime import datetime
from pathlib import Path

from PIL import Image
from PIL.ExifTags import IFD, Base
from PIL.Image import Transpose
from pydantic import JsonValue

from uploadmill.tasks.container import find_part

#: Largest EXIF block we look at, in bytes. JPEG cannot hold more than 64 kB; PNG and WebP could.
MAX_EXIF = 1 << 20

#: Longest text taken from a file, in characters.
MAX_TEXT = 200

#: The fields that may stay in an output, by the names ``Optimize.keep`` gives them.
KEEPABLE = {
    "artist": Base.Artist,
    "copyright": Base.Copyright,
    "description": Base.ImageDescription,
}

#: How to turn a picture upright, by its orientation.
UPRIGHT = {
    2: Transpose.FLIP_LEFT_RIGHT,
    3: Transpose.ROTATE_180,
    4: Transpose.FLIP_TOP_BOTTOM,
    5: Transpose.TRANSPOSE,
    6: Transpose.ROTATE_270,
    7: Transpose.TRANSVERSE,
    8: Transpose.ROTATE_90,
}

#: From this orientation on, width and height change places.
_FIRST_SIDEWAYS = 5


def read_exif(picture: Image.Image, source: Path, content_type: str) -> Image.Exif:
    """The picture's EXIF, empty where there is none or it cannot be read; decodes nothing."""
    empty = Image.Exif()
    try:
        if content_type == "image/png" and "exif" not in picture.info:
            # Some tools write it behind the pixels, where Pillow sees it only after decoding.
            late = find_part(source, content_type, b"eXIf", MAX_EXIF)
            if late:
                picture.info["exif"] = b"Exif\0\0" + late
        if len(picture.info.get("exif") or b"") > MAX_EXIF:
            return empty
        # Not picture.getexif(): PNG's decodes the whole picture first.
        return Image.Image.getexif(picture)
    except Exception:  # noqa: BLE001 - any error in EXIF means that there is none
        return empty


def orientation_of(exif: Image.Exif) -> int:
    """1 to 8; anything else counts as upright."""
    value = _field(exif, Base.Orientation)
    return value if isinstance(value, int) and value in UPRIGHT else 1


def displayed(width: int, height: int, orientation: int) -> tuple[int, int]:
    """Width and height as people see them."""
    return (height, width) if orientation >= _FIRST_SIDEWAYS else (width, height)


def upright(picture: Image.Image, orientation: int) -> Image.Image:
    """The picture as people see it."""
    method = UPRIGHT.get(orientation)
    return picture if method is None else picture.transpose(method)


def kept_fields(exif: Image.Exif, keep: Iterable[str]) -> dict[int, bytes]:
    """The fields named by *keep* that the picture has, as UTF-8, ready to be written."""
    found = {KEEPABLE[name]: text(_field(exif, KEEPABLE[name]), limit=1000) for name in keep}
    return {int(tag): value.encode() for tag, value in found.items() if value}


def describe_exif(exif: Image.Exif) -> dict[str, JsonValue]:
    """Camera and exposure, JSON-safe. Says that there is a place, never which.

    Returns:
        Any of make, model, lens, taken_at (ISO 8601, with the offset if the camera knew it),
        exposure_s, aperture (f-number), iso, focal_length_mm, orientation, has_gps.
    """
    details = _directory(exif, IFD.Exif)
    facts: dict[str, str | float | None] = {
        "make": text(_field(exif, Base.Make)),
        "model": text(_field(exif, Base.Model)),
        "lens": text(details.get(Base.LensModel)),
        "taken_at": _taken_at(details),
        "exposure_s": number(details.get(Base.ExposureTime)),
        "aperture": number(details.get(Base.FNumber)),
        "iso": number(details.get(Base.ISOSpeedRatings)),
        "focal_length_mm": number(details.get(Base.FocalLength)),
    }
    known: dict[str, JsonValue] = {
        name: value for name, value in facts.items() if value is not None
    }
    if known or len(exif):
        known |= {"orientation": orientation_of(exif), "has_gps": IFD.GPSInfo in exif}
    return known


def text(value: object, limit: int = MAX_TEXT) -> str | None:
    """A printable string of at most *limit* characters; None for anything that is not text.

    EXIF says ASCII, cameras write UTF-8, and Pillow hands it over as Latin-1.
    """
    if isinstance(value, str):
        value = value.encode("latin-1", "replace")
    if not isinstance(value, bytes):
        return None
    raw = value[: 8 * limit].split(b"\0", 1)[0]
    try:
        decoded = raw.decode()
    except UnicodeDecodeError:
        decoded = raw.decode("latin-1")
    printable = "".join(sign for sign in decoded if sign.isprintable()).strip()
    return printable[:limit] or None


def number(value: object) -> float | int | None:
    """A finite number that is not negative; None for anything else, such as a division by zero."""
    if isinstance(value, tuple | list) and value:
        value = value[0]
    if isinstance(value, str | bytes):
        return None
    try:
        found = float(value)  # type: ignore[arg-type]
    except (TypeError, ValueError, ArithmeticError):
        return None
    if not math.isfinite(found) or found < 0:
        return None
    return int(found) if found.is_integer() else round(found, 6)


def _taken_at(details: dict[int, object]) -> str | None:
    """When the picture was taken, in ISO 8601."""
    stamp = text(details.get(Base.DateTimeOriginal))
    offset = text(details.get(Base.OffsetTimeOriginal)) or ""
    with suppress(ValueError):
        return datetime.strptime(f"{stamp}{offset}", "%Y:%m:%d %H:%M:%S%z").isoformat()
    with suppress(ValueError):
        # The camera's own time, of no known zone.
        return datetime.strptime(f"{stamp}", "%Y:%m:%d %H:%M:%S").isoformat()  # noqa: DTZ007
    return None


def _field(exif: Image.Exif, tag: int) -> object:
    """A field, which Pillow unpacks only now; None where it cannot."""
    try:
        return exif.get(tag)
    except Exception:  # noqa: BLE001 - any error in EXIF means that there is none
        return None


def _directory(exif: Image.Exif, directory: IFD) -> dict[int, object]:
    """One of EXIF's inner directories, empty where it cannot be read."""
    try:
        return dict(exif.get_ifd(directory))
    except Exception:  # noqa: BLE001 - any error in EXIF means that there is none
        return {}
