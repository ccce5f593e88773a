"""Colour profiles: kept where they fit what is written, else the picture becomes sRGB."""

from __future__ import annotations

import io

from PIL import Image, ImageCms

from uploadmill.tasks.exif import text

#: Which profiles fit which pictures, by the colour space a profile names in its header.
_SPACES = {"GRAY": ("1", "L", "LA", "I;16"), "RGB ": ("P", "RGB", "RGBA"), "CMYK": ("CMYK",)}


def profile_name(icc: bytes | None) -> str | None:
    """The profile's own description; None without a readable profile."""
    profile = _read(icc)
    return text(str(profile.profile.profile_description or "").encode()) if profile else None


def fits(icc: bytes | None, mode: str) -> bool:
    """Whether a picture of *mode* can carry the profile; a broken one fits nothing."""
    profile = _read(icc)
    return profile is not None and mode in _SPACES.get(profile.profile.xcolor_space, ())


def to_srgb(picture: Image.Image, icc: bytes | None) -> Image.Image:
    """A CMYK or grey picture as sRGB, by its profile if that can be used, else by rule of thumb."""
    if fits(icc, picture.mode):
        try:
            converted = ImageCms.profileToProfile(
                picture,
                ImageCms.ImageCmsProfile(io.BytesIO(icc or b"")),
                ImageCms.createProfile("sRGB"),
                outputMode="RGB",
            )
        except ImageCms.PyCMSError:
            converted = None
        if converted is not None:
            return converted
    return picture.convert("RGB")


def _read(icc: bytes | None) -> ImageCms.ImageCmsProfile | None:
    """The profile, if littlecms can make sense of it."""
    if not icc:
        return None
    try:
        return ImageCms.ImageCmsProfile(io.BytesIO(icc))
    except (OSError, ImageCms.PyCMSError, ValueError):
        return None
