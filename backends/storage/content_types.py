"""The type of content: by its first bytes, and by the key's extension where they do not tell.

The first bytes are the WHATWG's (its MIME Sniffing standard), and only what no other content begins
with. Libraries that know more types guess more: they were seen to take prose for a bitmap, an
archive for a Word file, JavaScript for Matlab.
"""

from __future__ import annotations

from collections.abc import Mapping
from mimetypes import MimeTypes

DEFAULT_TYPE = "application/octet-stream"

#: Bytes of a beginning that are looked at.
HEAD = 64

#: First bytes and what they are; the WHATWG's tables, and TIFF.
_SIGNATURES: tuple[tuple[bytes, str], ...] = (
    (b"\xff\xd8\xff", "image/jpeg"),
    (b"\x89PNG\r\n\x1a\n", "image/png"),
    (b"GIF87a", "image/gif"),
    (b"GIF89a", "image/gif"),
    (b"II*\0", "image/tiff"),
    (b"MM\0*", "image/tiff"),
    (b"%PDF-", "application/pdf"),
    (b"%!PS-Adobe-", "application/postscript"),
    (b"OggS\0", "application/ogg"),
    (b"fLaC", "audio/flac"),
    (b"\x1aE\xdf\xa3", "video/webm"),
    (b"\x1f\x8b\x08", "application/gzip"),
    (b"PK\x03\x04", "application/zip"),
    (b"Rar!\x1a\x07", "application/vnd.rar"),
    (b"7z\xbc\xaf\x27\x1c", "application/x-7z-compressed"),
    (b"wOFF", "font/woff"),
    (b"wOF2", "font/woff2"),
)

#: Bytes 8 to 12 of a RIFF file.
_RIFF: Mapping[bytes, str] = {b"WEBP": "image/webp", b"WAVE": "audio/wave", b"AVI ": "video/avi"}

#: Major brands of an ISO media file.
_BRANDS: Mapping[bytes, str] = {
    b"avif": "image/avif",
    b"avis": "image/avif",
    b"heic": "image/heic",
    b"heix": "image/heic",
    b"mif1": "image/heif",
    b"qt  ": "video/quicktime",
    b"M4A ": "audio/mp4",
}

#: What the extension knows better: these are containers of many types.
_CONTAINERS = frozenset(
    {"application/zip", "application/gzip", "application/ogg", "video/webm", "video/mp4"}
)

#: Without the system's own table, so that every node finds the same type.
_TYPES = MimeTypes(filenames=())
for _type, _extension in (
    ("image/webp", ".webp"),
    ("image/avif", ".avif"),
    ("image/heic", ".heic"),
    ("image/jpeg", ".jpg"),
    ("application/epub+zip", ".epub"),
    ("application/vnd.oasis.opendocument.text", ".odt"),
    ("application/vnd.oasis.opendocument.spreadsheet", ".ods"),
    ("application/vnd.oasis.opendocument.presentation", ".odp"),
    ("application/vnd.openxmlformats-officedocument.wordprocessingml.document", ".docx"),
    ("application/vnd.openxmlformats-officedocument.spreadsheetml.sheet", ".xlsx"),
    ("application/vnd.openxmlformats-officedocument.presentationml.presentation", ".pptx"),
):
    _TYPES.add_type(_type, _extension)


def content_type_of(head: bytes, key: str) -> str:
    """The type of an object that nobody gave one.

    Args:
        head: Its first :data:`HEAD` bytes, fewer where there are no more.
        key: Its extension decides where the content is of no type, or a container.
    """
    found = _by_signature(head)
    named = type_by_extension(key)
    if found is None or (found in _CONTAINERS and named != DEFAULT_TYPE):
        return named
    return found


def _by_signature(head: bytes) -> str | None:
    for signature, kind in _SIGNATURES:
        if head.startswith(signature):
            return kind
    if head.startswith(b"RIFF"):
        return _RIFF.get(head[8:12])
    if head[4:8] == b"ftyp":
        return _BRANDS.get(head[8:12], "video/mp4")
    return None


def type_by_extension(key: str) -> str:
    """The content type that a key's extension stands for, the same on every machine."""
    return _TYPES.guess_type(key)[0] or DEFAULT_TYPE
