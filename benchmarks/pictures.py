"""Photographs to measure with: drawn, as hard to decode as real ones, and the same every time."""

from __future__ import annotations

import random
from pathlib import Path

from PIL import ExifTags, Image, ImageCms


def draw(path: Path, width: int, height: int) -> Path:
    """Draw an upright baseline JPEG of about 0.3 bytes a pixel, with EXIF and a colour profile."""
    bands = [_band(width, height, seed) for seed in range(3)]
    exif = Image.Exif()
    exif[ExifTags.Base.Make] = "uploadmill"
    exif[ExifTags.Base.Orientation] = 1
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    picture = Image.merge("RGB", bands)
    picture.save(path, "JPEG", quality=90, exif=exif, icc_profile=profile)
    return path


def _band(width: int, height: int, seed: int) -> Image.Image:
    """Soft shapes, and the grain of a camera over them."""
    dice = random.Random(seed)  # noqa: S311 - the same picture every time
    shapes = _noise(dice, 16, 12).resize((width, height), Image.Resampling.BICUBIC)
    grain = _noise(dice, 2048, 1536).resize((width, height), Image.Resampling.BILINEAR)
    return Image.blend(shapes, grain, 0.2)


def _noise(dice: random.Random, width: int, height: int) -> Image.Image:
    return Image.frombytes("L", (width, height), dice.randbytes(width * height))
