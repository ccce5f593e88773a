"""Draw a picture that decoders and encoders find as hard as a photograph."""

from __future__ import annotations

from pathlib import Path

from PIL import ExifTags, Image, ImageCms

#: Pixels of the drawing as the file has it: a usual camera's 12 MP. It lies on its side.
SIZE = (4000, 3000)

#: EXIF's orientation "turn by 90 degrees": a camera held upright.
TURNED = 6


def draw_photo(path: Path, size: tuple[int, int] = SIZE) -> None:
    """Draw a JPEG with what cameras write: EXIF, a place, a colour profile, an orientation."""
    picture = Image.merge("RGB", [_clouds(size, seed) for seed in range(3)])
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    picture.save(path, quality=90, exif=_exif(), icc_profile=profile)


def _clouds(size: tuple[int, int], channel: int) -> Image.Image:
    """Soft shapes with a little grain over them."""
    width, height = size
    coarse = 12 + 4 * channel
    shapes = Image.effect_noise((coarse, coarse * height // width), 120).resize(
        size, Image.Resampling.BICUBIC
    )
    grain = Image.effect_noise((width // 2, height // 2), 40).resize(
        size, Image.Resampling.BILINEAR
    )
    return Image.blend(shapes, grain, 0.2)


def _exif() -> Image.Exif:
    exif = Image.Exif()
    exif[ExifTags.Base.Make] = "uploadmill"
    exif[ExifTags.Base.Model] = "demo"
    exif[ExifTags.Base.Orientation] = TURNED
    exif[ExifTags.Base.Copyright] = "drawn by uploadmill"
    exif[ExifTags.Base.DateTime] = "2026:01:01 12:00:00"
    exif.get_ifd(ExifTags.IFD.GPSInfo).update(
        {1: "N", 2: (51.0, 28.0, 40.0), 3: "E", 4: (0.0,) * 3}
    )
    return exif
