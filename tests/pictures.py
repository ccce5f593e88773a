"""Pictures drawn in code: something like photographs, turned, broken and otherwise odd."""

from __future__ import annotations

import io
import math
import struct
import zlib
from functools import cache
from pathlib import Path
from typing import Any

from PIL import Image, ImageChops, ImageCms, ImageStat
from PIL.Image import Resampling, Transpose
from PIL.TiffImagePlugin import IFDRational

#: The colours of the four corners, by which a test sees how a picture lies.
CORNERS = {
    "top left": (200, 40, 40),
    "top right": (40, 180, 60),
    "bottom left": (40, 70, 200),
    "bottom right": (220, 200, 50),
}

#: How a camera stores an upright scene under each orientation: the reverse of turning it upright.
STORED = {
    2: Transpose.FLIP_LEFT_RIGHT,
    3: Transpose.ROTATE_180,
    4: Transpose.FLIP_TOP_BOTTOM,
    5: Transpose.TRANSPOSE,
    6: Transpose.ROTATE_90,
    7: Transpose.TRANSVERSE,
    8: Transpose.ROTATE_270,
}


def scene(width: int, height: int) -> Image.Image:
    """A picture with four colours that run into each other, and the grain of a photograph."""
    corners = Image.new("RGB", (2, 2))
    corners.putdata(list(CORNERS.values()))
    smooth = corners.resize((width, height), Resampling.BICUBIC)
    coarse = Image.effect_noise((width // 8 + 1, height // 8 + 1), 50)
    grain = ImageChops.blend(
        coarse.resize((width, height), Resampling.BICUBIC),
        Image.effect_noise((width, height), 30),
        0.3,
    )
    return Image.blend(smooth, Image.merge("RGB", (grain, grain, grain)), 0.25)


def photograph(
    width: int = 400,
    height: int = 300,
    *,
    orientation: int = 1,
    icc: bytes | None = None,
    exif: Image.Exif | None = None,
    encoder: str = "JPEG",
    mode: str = "RGB",
    **save: Any,
) -> bytes:
    """A file as a camera writes it; *width* and *height* are those of the upright scene."""
    picture = scene(width, height)
    if orientation in STORED:
        picture = picture.transpose(STORED[orientation])
    exif = exif or Image.Exif()
    if orientation != 1:
        exif[0x0112] = orientation
    if encoder == "JPEG":
        save = {"quality": 90, **save}
    return encoded(picture.convert(mode), encoder, icc_profile=icc, exif=exif.tobytes(), **save)


def encoded(picture: Image.Image, encoder: str, **save: Any) -> bytes:
    """*picture* as a file."""
    buffer = io.BytesIO()
    picture.save(buffer, encoder, **save)
    return buffer.getvalue()


@cache
def srgb() -> bytes:
    """A real colour profile."""
    return ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()


def camera_exif() -> Image.Exif:
    """What a camera and its owner write, with a place that must never get out."""
    exif = Image.Exif()
    exif[0x010F] = "Optica"
    exif[0x0110] = "Model 7"
    exif[0x013B] = "Ångström Studio".encode()
    exif[0x8298] = "(c) the studio"
    exif[0x010E] = "A drawing of corners"
    details = exif.get_ifd(0x8769)
    details[0x9003] = "2024:05:06 07:08:09"
    details[0x9011] = "+02:00"
    details[0x829A] = IFDRational(1, 250)
    details[0x829D] = 2.8
    details[0x8827] = 400
    details[0x920A] = 35.0
    details[0xA434] = "35mm f/2.8"
    place = exif.get_ifd(0x8825)
    place[1], place[2] = "N", (48.0, 51.0, 30.0)
    return exif


def bomb(width: int = 60_000, height: int = 60_000) -> bytes:
    """A PNG of a hundred bytes that announces billions of pixels."""
    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    chunks = [(b"IHDR", header), (b"IDAT", zlib.compress(b"\0" * 10)), (b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunk(name, payload) for name, payload in chunks)


def webp_bomb(side: int = 16_383) -> bytes:
    """A WebP whose header alone would make its decoder reserve two gigabytes."""
    canvas = (side - 1).to_bytes(3, "little") * 2
    body = b"WEBPVP8X" + struct.pack("<I", 10) + b"\x02\0\0\0" + canvas
    return b"RIFF" + struct.pack("<I", len(body)) + body


def chunk(name: bytes, payload: bytes) -> bytes:
    """A PNG chunk."""
    check = struct.pack(">I", zlib.crc32(name + payload))
    return struct.pack(">I", len(payload)) + name + payload + check


def written(path: Path, content: bytes) -> Path:
    """*path*, now holding *content*."""
    path.write_bytes(content)
    return path


def read(path: Path) -> Image.Image:
    """The picture at *path*, decoded."""
    with Image.open(path) as picture:
        picture.load()
    return picture


def corners_of(picture: Image.Image) -> dict[str, str]:
    """Which of the scene's corners each corner of *picture* shows."""
    picture = picture.convert("RGB")
    right, bottom = picture.width * 9 // 10, picture.height * 9 // 10
    left, top = picture.width - right, picture.height - bottom
    boxes = {
        "top left": (0, 0, left, top),
        "top right": (right, 0, picture.width, top),
        "bottom left": (0, bottom, left, picture.height),
        "bottom right": (right, bottom, picture.width, picture.height),
    }
    return {name: _nearest(picture.crop(box)) for name, box in boxes.items()}


def _nearest(part: Image.Image) -> str:
    mean = ImageStat.Stat(part).mean
    return min(CORNERS, key=lambda name: math.dist(CORNERS[name], mean))


def psnr(one: Image.Image, other: Image.Image) -> float:
    """How alike two pictures are, in decibels; from about 40 nobody sees a difference."""
    squares = ImageStat.Stat(ImageChops.difference(one, other)).sum2
    mean = sum(squares) / (len(squares) * one.width * one.height)
    return 99.0 if not mean else 10 * math.log10(255 * 255 / mean)
