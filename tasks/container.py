"""How pictures are packed into files: sizes from headers, and whether the end is there.

Reads marker and chunk headers only, a few kilobytes at a time; decodes nothing.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from uploadmill.errors import CorruptUpload, UnsupportedMedia

#: Most segments or chunks a file may have. Real ones stay under a thousand; each costs us 2 µs.
MAX_PARTS = 100_000

#: Most scans of a JPEG. Encoders write about ten; each more costs a pass over all pixels.
MAX_SCANS = 100

#: Bytes read at a time while looking for the end of a JPEG's entropy-coded data.
_WINDOW = 1 << 18

#: Bytes read first: most markers follow at once, and a file may have many.
_FIRST_WINDOW = 16

_PNG_SIGNATURE = b"\x89PNG\r\n\x1a\n"

#: A marker inside entropy-coded data: neither a stuffed byte, nor a restart, nor a fill byte.
_MARKER = re.compile(rb"\xff[^\x00\xd0-\xd7\xff]")

#: JPEG's markers: start of frame (all but DHT, JPG and DAC in that range), of scan, end of image.
_SOF = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
_SOS = 0xDA
_EOI = 0xD9
_WITHOUT_LENGTH = frozenset({0x01, *range(0xD0, 0xD9)})


@dataclass(frozen=True, slots=True)
class Header:
    """What a file announces, before orientation: width and height in pixels, and frames."""

    width: int
    height: int
    frames: int = 1

    @property
    def pixels(self) -> int:
        """Pixels times frames."""
        return self.width * self.height * self.frames


@dataclass(frozen=True, slots=True)
class Part:
    """A segment or chunk: its name, where its payload starts, and the payload's size in bytes."""

    name: bytes
    start: int
    size: int


def read_header(path: Path, content_type: str) -> Header:
    """The size that the picture at *path* announces.

    Raises:
        UnsupportedMedia: *content_type* is not JPEG, PNG or WebP.
        CorruptUpload: There is no such header.
    """
    if content_type not in _HEADERS:
        raise UnsupportedMedia(f"{content_type} is not a picture that can be decoded here")
    with path.open("rb") as file:
        header = _HEADERS[content_type](file)
    if header is None or not header.pixels:
        raise CorruptUpload(f"the {content_type} file announces no size")
    return header


def check_complete(path: Path, content_type: str) -> None:
    """Walk through all parts of the file to its announced end; 2 ms for a JPEG of 12 MP.

    Raises:
        CorruptUpload: The file ends before its picture does.
    """
    with path.open("rb") as file:
        for _ in _PARTS[content_type](file):
            pass


def find_part(path: Path, content_type: str, name: bytes, max_size: int) -> bytes | None:
    """The payload of the first part called *name*, if it is there and at most *max_size* bytes."""
    with path.open("rb") as file:
        for part in _PARTS[content_type](file):
            if part.name == name and part.size <= max_size:
                return _at(file, part.start, part.size)
    return None


def _jpeg_parts(file: BinaryIO) -> Iterator[Part]:
    """A JPEG's segments up to its end marker; what follows that is nobody's business."""
    if _exactly(file, 2) != b"\xff\xd8":
        raise CorruptUpload("the JPEG file does not start as one")
    scans = 0
    for _ in range(MAX_PARTS):
        marker = _next_marker(file)
        if marker == _EOI:
            return
        if marker in _WITHOUT_LENGTH:
            continue
        size = int.from_bytes(_exactly(file, 2)) - 2
        if size < 0:
            raise CorruptUpload("the JPEG file has a segment without a length")
        start = file.tell()
        yield Part(bytes([marker]), start, size)
        file.seek(start + size)
        scans += marker == _SOS
        if scans > MAX_SCANS:
            raise CorruptUpload(f"the JPEG file has more than {MAX_SCANS} scans")
    raise CorruptUpload(f"the JPEG file has more than {MAX_PARTS} segments")


def _next_marker(file: BinaryIO) -> int:
    """Leave *file* behind the next marker; entropy-coded data on the way is skipped."""
    size = _FIRST_WINDOW
    while window := file.read(size):
        while window.endswith(b"\xff") and (more := file.read(1)):
            window += more
        if found := _MARKER.search(window):
            file.seek(found.end() - len(window), 1)
            return window[found.end() - 1]
        size = _WINDOW
    raise CorruptUpload("the JPEG file is truncated: its end marker is missing")


def _png_parts(file: BinaryIO) -> Iterator[Part]:
    """A PNG's chunks up to ``IEND``."""
    if _exactly(file, 8) != _PNG_SIGNATURE:
        raise CorruptUpload("the PNG file does not start as one")
    for _ in range(MAX_PARTS):
        head = _exactly(file, 8)
        size, name, start = int.from_bytes(head[:4]), head[4:], file.tell()
        if name == b"IEND":
            return
        yield Part(name, start, size)
        file.seek(start + size + 4)
    raise CorruptUpload(f"the PNG file has more than {MAX_PARTS} chunks")


def _webp_parts(file: BinaryIO) -> Iterator[Part]:
    """A WebP's chunks; the file must be as long as its first one says."""
    head = _exactly(file, 12)
    end = int.from_bytes(head[4:8], "little") + 8
    if head[:4] != b"RIFF" or head[8:] != b"WEBP":
        raise CorruptUpload("the WebP file does not start as one")
    if file.seek(0, 2) < end:
        raise CorruptUpload("the WebP file is truncated")
    position = 12
    for _ in range(MAX_PARTS):
        if position + 8 > end:
            return
        head = _at(file, position, 8)
        size = int.from_bytes(head[4:], "little")
        yield Part(head[:4], position + 8, size)
        position += 8 + size + size % 2
    raise CorruptUpload(f"the WebP file has more than {MAX_PARTS} chunks")


def _jpeg_header(file: BinaryIO) -> Header | None:
    for part in _jpeg_parts(file):
        if part.name[0] in _SOF:
            frame = _at(file, part.start, 5)
            return Header(int.from_bytes(frame[3:5]), int.from_bytes(frame[1:3]))
    return None


def _png_header(file: BinaryIO) -> Header | None:
    width = height = 0
    frames = 1
    for part in _png_parts(file):
        if part.name == b"IHDR":
            head = _at(file, part.start, 8)
            width, height = int.from_bytes(head[:4]), int.from_bytes(head[4:])
        elif part.name == b"acTL":
            frames = max(1, int.from_bytes(_at(file, part.start, 4)))
        elif part.name == b"IDAT":
            break
    return Header(width, height, frames)


def _webp_header(file: BinaryIO) -> Header | None:
    """The largest size any chunk announces, times the number of animation frames."""
    width = height = frames = 0
    for part in _webp_parts(file):
        if part.name == b"ANMF":
            frames += 1
        elif part.name in _WEBP_SIZES:
            sizes = _WEBP_SIZES[part.name](_at(file, part.start, 10))
            width, height = max(width, sizes[0]), max(height, sizes[1])
    return Header(width, height, max(1, frames))


def _vp8x_size(head: bytes) -> tuple[int, int]:
    return int.from_bytes(head[4:7], "little") + 1, int.from_bytes(head[7:10], "little") + 1


def _vp8_size(head: bytes) -> tuple[int, int]:
    width, height = int.from_bytes(head[6:8], "little"), int.from_bytes(head[8:10], "little")
    return width & 0x3FFF, height & 0x3FFF


def _vp8l_size(head: bytes) -> tuple[int, int]:
    bits = int.from_bytes(head[1:5], "little")
    return (bits & 0x3FFF) + 1, (bits >> 14 & 0x3FFF) + 1


def _at(file: BinaryIO, start: int, size: int) -> bytes:
    file.seek(start)
    return _exactly(file, size)


def _exactly(file: BinaryIO, size: int) -> bytes:
    """*size* bytes, or a truncated file."""
    raw = file.read(size)
    if len(raw) < size:
        raise CorruptUpload("the file is truncated")
    return raw


_WEBP_SIZES: Mapping[bytes, Callable[[bytes], tuple[int, int]]] = {
    b"VP8X": _vp8x_size,
    b"VP8 ": _vp8_size,
    b"VP8L": _vp8l_size,
}
_PARTS: Mapping[str, Callable[[BinaryIO], Iterator[Part]]] = {
    "image/jpeg": _jpeg_parts,
    "image/png": _png_parts,
    "image/webp": _webp_parts,
}
_HEADERS: Mapping[str, Callable[[BinaryIO], Header | None]] = {
    "image/jpeg": _jpeg_header,
    "image/png": _png_header,
    "image/webp": _webp_header,
}
