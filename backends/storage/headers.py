"""What goes into headers: metadata, content types, how an object is served; checked and encoded."""

from __future__ import annotations

import re
import string
import unicodedata
from collections.abc import Mapping
from urllib.parse import quote, unquote

from uploadmill.backends.storage.keys import check_text, shown
from uploadmill.errors import Unsupported

#: Bytes of metadata once encoded: S3 and Azure allow 2 kB and 8 kB, our sha256 is in it too.
MAX_METADATA = 1536

#: The name under which a store without a better place keeps our sha256.
SHA256_NAME = "uploadmill-sha256"

_METADATA_NAME = re.compile(r"[a-z0-9][a-z0-9_-]{0,63}")
_CONTENT_TYPE = re.compile(r"[\x21-\x7e](?:[\x20-\x7e]{0,253}[\x21-\x7e])?")

_HEADER = re.compile(r"[\x21-\x7e](?:[\x20-\x7e]{0,1022}[\x21-\x7e])?")

#: What a quoted file name may show to browsers that know no other form.
_TOKEN = frozenset(string.ascii_letters + string.digits + "!#$&+-.^_`|~ ()")

#: What a metadata value may show unencoded in a header: printable ASCII but space and percent.
_PLAIN = "!\"#$&'()*+,-./:;<=>?@[\\]^_`{|}~"

#: Stands for the empty value, which some servers drop. No encoded value is a lone percent sign.
_EMPTY = "%"


def check_metadata(store: str, key: str, metadata: Mapping[str, str]) -> None:
    """Refuse metadata that some store could not give back as it was.

    Raises:
        Unsupported: Says which name or value, and why.
        TypeError: It is no mapping of texts.
    """
    if not isinstance(metadata, Mapping):
        raise TypeError(f"metadata are a mapping of texts; this is a {type(metadata).__name__}")
    for name, value in metadata.items():
        check_text("a name in metadata", name)
        check_text(f"metadata {shown(name)!r}", value)
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


def check_content_type(store: str, key: str, given: str) -> None:
    """Refuse a content type that does not fit into a header.

    Raises:
        Unsupported: Shows it.
    """
    check_text("a content type", given)
    if not _CONTENT_TYPE.fullmatch(given):
        raise Unsupported(store, key, f"content type {shown(given)!r}")


def check_header(store: str, key: str, name: str, given: str | None) -> None:
    """Refuse a header's value that not every store takes: printable ASCII, at most 1,024 bytes.

    Raises:
        Unsupported: Shows it.
    """
    if given is None:
        return
    check_text(name, given)
    if not _HEADER.fullmatch(given):
        raise Unsupported(store, key, f"{name} {shown(given)!r}")


def attachment(filename: str) -> str:
    """The content disposition with which a browser saves an object as *filename* (RFC 6266).

    Raises:
        ValueError: It has half a surrogate pair, which no header can say.
        TypeError: It is no text.
    """
    check_text("a file name", filename)
    if any(unicodedata.category(character) == "Cs" for character in filename):
        raise ValueError(
            "the file name holds half a surrogate pair: replace what cannot be encoded"
        )
    plain = "".join(each if each in _TOKEN else "_" for each in filename)
    return f"attachment; filename=\"{plain}\"; filename*=UTF-8''{quote(filename, safe='')}"
