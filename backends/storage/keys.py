"""What every store takes as key, metadata and content type; checked before anything moves."""

from __future__ import annotations

import math
import re
import string
import unicodedata
from collections.abc import Mapping
from mimetypes import MimeTypes
from urllib.parse import quote, unquote

from uploadmill.errors import InvalidKey, Unsupported

#: Bytes of UTF-8 a key may have. S3 allows 1,024 with the store's prefix, which has 255 of them.
MAX_KEY = 768

#: Bytes of one segment: what file systems allow for a name.
MAX_SEGMENT = 255

#: The folder a local store keeps for itself; no key has such a segment, in any store and any
#: case (some file systems do not tell cases apart).
RESERVED = ".uploadmill"

#: Bytes of metadata once encoded: S3 and Azure allow 2 kB and 8 kB, our sha256 is in it too.
MAX_METADATA = 1536

#: The name under which a store without a better place keeps our sha256.
SHA256_NAME = "uploadmill-sha256"

DEFAULT_TYPE = "application/octet-stream"

_METADATA_NAME = re.compile(r"[a-z0-9][a-z0-9_-]{0,63}")
_CONTENT_TYPE = re.compile(r"[\x21-\x7e](?:[\x20-\x7e]{0,253}[\x21-\x7e])?")

_HEADER = re.compile(r"[\x21-\x7e](?:[\x20-\x7e]{0,1022}[\x21-\x7e])?")

#: What a quoted file name may show to browsers that know no other form.
_TOKEN = frozenset(string.ascii_letters + string.digits + "!#$&+-.^_`|~ ()")

#: What a metadata value may show unencoded in a header: printable ASCII but space and percent.
_PLAIN = "!\"#$&'()*+,-./:;<=>?@[\\]^_`{|}~"

#: Stands for the empty value, which some servers drop. No encoded value is a lone percent sign.
_EMPTY = "%"

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


def check_key(store: str, key: str) -> None:
    """Refuse a key that could leave its store's prefix or cannot be stored everywhere.

    Raises:
        InvalidKey: Says what is wrong with it.
    """
    problem = _too_long(key, MAX_KEY) or next(filter(None, map(_wrong_with, key.split("/"))), None)
    if problem:
        raise InvalidKey(store, shown(key), problem)


def check_prefix(store: str, prefix: str) -> None:
    """Refuse what no valid key can start with; the last segment may be half a name.

    Raises:
        InvalidKey: Says what is wrong with it.
    """
    *folders, last = prefix.split("/")
    problem = (
        _too_long(prefix, MAX_KEY)
        or next(filter(None, map(_wrong_with, folders)), None)
        or _wrong_characters(last)
    )
    if problem:
        raise InvalidKey(store, shown(prefix), problem)


def is_key(key: str) -> bool:
    """Whether :func:`check_key` lets *key* pass."""
    return not (_too_long(key, MAX_KEY) or any(map(_wrong_with, key.split("/"))))


def shown(key: str) -> str:
    """*key* fit for a message: short, and encodable whatever it holds."""
    return key[:80].encode("utf-8", "backslashreplace").decode() + ("…" if len(key) > 80 else "")  # noqa: PLR2004 (a line)


def _wrong_with(segment: str) -> str | None:
    """What is wrong with a whole segment; None when nothing is."""
    if segment == "":
        return "it is empty, or has an empty segment"
    if segment in (".", ".."):
        return "it has a segment '.' or '..'"
    if segment.lower() == RESERVED:
        return f"{RESERVED!r} is reserved"
    return _too_long(segment, MAX_SEGMENT, "a segment") or _wrong_characters(segment)


def _too_long(text: str, limit: int, what: str = "it") -> str | None:
    size = len(text.encode("utf-8", "surrogatepass"))
    return f"{what} has more than {limit} bytes" if size > limit else None


def _wrong_characters(text: str) -> str | None:
    for character in text:
        if character == "\\":
            return "it has a backslash"
        if unicodedata.category(character) in ("Cc", "Cs") or character in "\ufffe\uffff":
            return f"it has the character U+{ord(character):04X}"
    return None


def check_metadata(store: str, key: str, metadata: Mapping[str, str]) -> None:
    """Refuse metadata that some store could not give back as it was.

    Raises:
        Unsupported: Says which name or value, and why.
    """
    for name, value in metadata.items():
        if not _METADATA_NAME.fullmatch(name) or name == SHA256_NAME:
            raise Unsupported(store, key, f"metadata name {shown(name)!r}: use a-z, 0-9, '-', '_'")
        if any(unicodedata.category(character) == "Cs" for character in value):
            raise Unsupported(store, key, f"metadata {name!r} holds half a surrogate pair")
    if sum(len(name) + len(encoded(value)) for name, value in metadata.items()) > MAX_METADATA:
        raise Unsupported(store, key, f"more than {MAX_METADATA} bytes of metadata once encoded")


def encoded(value: str) -> str:
    """A metadata value as an ASCII header can carry it: percent-encoded UTF-8."""
    return quote(value, safe=_PLAIN) or _EMPTY


def decoded(value: str) -> str:
    """The inverse of :func:`encoded`."""
    return "" if value == _EMPTY else unquote(value)


def type_by_extension(key: str) -> str:
    """The content type that a key's extension stands for, the same on every machine."""
    return _TYPES.guess_type(key)[0] or DEFAULT_TYPE


def check_content_type(store: str, key: str, given: str) -> None:
    """Refuse a content type that does not fit into a header.

    Raises:
        Unsupported: Shows it.
    """
    if not _CONTENT_TYPE.fullmatch(given):
        raise Unsupported(store, key, f"content type {shown(given)!r}")


def check_header(store: str, key: str, name: str, given: str | None) -> None:
    """Refuse a header's value that not every store takes: printable ASCII, at most 1,024 bytes.

    Raises:
        Unsupported: Shows it.
    """
    if given is not None and not _HEADER.fullmatch(given):
        raise Unsupported(store, key, f"{name} {shown(given)!r}")


def check_lasting(expires: float) -> None:
    """Refuse what stores treat unlike: some would sign for a second, others for the past.

    Raises:
        ValueError: It is no number of seconds from now on.
    """
    if not 0 < expires < math.inf:
        raise ValueError("say for how many seconds it lasts, more than 0")


def attachment(filename: str) -> str:
    """The content disposition with which a browser saves an object as *filename* (RFC 6266)."""
    plain = "".join(each if each in _TOKEN else "_" for each in filename)
    return f"attachment; filename=\"{plain}\"; filename*=UTF-8''{quote(filename, safe='')}"


def public_address(public_url: str | None, key: str) -> str | None:
    """Where the world reads *key*, for a store whose objects lie under *public_url*."""
    return None if public_url is None else f"{public_url.rstrip('/')}/{quote(key)}"
