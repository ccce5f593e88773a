"""Opening pictures: one decoder per media type, limits first, and errors that say whose fault."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from PIL import Image, ImageFile, JpegImagePlugin, PngImagePlugin, TiffImagePlugin, WebPImagePlugin

from uploadmill.errors import CorruptUpload, PixelLimitExceeded, UnsupportedMedia
from uploadmill.tasks.container import read_header

#: What pictures are between two steps: uncompressed, so that only ``optimize`` encodes.
INTERMEDIATE = "image/tiff"

#: The decoder of each media type. Calling it directly, not through ``Image.open``, means that no
#: other decoder ever sees the bytes, that a phone's two-picture JPEG stays a JPEG, and that the
#: pixel limit is ours alone, without touching Pillow's global one in somebody's web process.
DECODERS: Mapping[str, type[ImageFile.ImageFile]] = {
    "image/jpeg": JpegImagePlugin.JpegImageFile,
    "image/png": PngImagePlugin.PngImageFile,
    "image/webp": WebPImagePlugin.WebPImageFile,
    INTERMEDIATE: TiffImagePlugin.TiffImageFile,
}

#: What Pillow raises when it is the content's fault; it has no error class of its own.
_CONTENT_ERRORS = (
    SyntaxError,
    ValueError,
    TypeError,
    LookupError,
    EOFError,
    ArithmeticError,
    struct.error,
    zlib.error,
)


@contextmanager
def decoding() -> Iterator[None]:
    """Call what the decoder raises about the content by its name.

    Raises:
        CorruptUpload: The decoder gave up. An error of the disk passes unchanged.
    """
    try:
        yield
    except OSError as error:
        if error.errno is not None:
            raise
        raise CorruptUpload(f"the picture cannot be decoded: {error}") from error
    except _CONTENT_ERRORS as error:
        raise CorruptUpload(f"the picture cannot be decoded: {error}") from error


@contextmanager
def open_picture(
    path: Path, content_type: str, max_pixels: int | None = None
) -> Iterator[ImageFile.ImageFile]:
    """Open the picture at *path*; nothing is decoded yet.

    Args:
        path: A file in the workspace.
        content_type: Its media type; only this type's decoder is tried.
        max_pixels: Pixels times frames; read from the header before the decoder opens the file,
            because WebP's reserves memory for the whole canvas there.

    Raises:
        UnsupportedMedia: No decoder for *content_type*.
        PixelLimitExceeded: The header announces more than *max_pixels*.
        CorruptUpload: It is no such picture.
    """
    decoder = DECODERS.get(content_type)
    if decoder is None:
        raise UnsupportedMedia(f"{content_type} is not a picture that can be decoded here")
    if max_pixels is not None and content_type != INTERMEDIATE:
        check_pixels(path, content_type, max_pixels)
    with decoding():
        picture = decoder(path)
    with picture:
        yield picture


def check_pixels(path: Path, content_type: str, max_pixels: int) -> None:
    """Compare what the header announces with the limit.

    Raises:
        PixelLimitExceeded: It is more.
        CorruptUpload: There is no header to read.
    """
    header = read_header(path, content_type)
    if header.pixels > max_pixels:
        raise PixelLimitExceeded(max_pixels, header.pixels)


def load(picture: Image.Image) -> None:
    """Decode to the end.

    Raises:
        CorruptUpload: The decoder gave up.
    """
    with decoding():
        picture.load()


def frames_of(picture: Image.Image) -> int:
    """How many frames the picture has."""
    return int(getattr(picture, "n_frames", 1))
