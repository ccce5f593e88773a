"""Keys and metadata names as Azure takes them, and back."""

from __future__ import annotations

import re
from collections.abc import Mapping

from uploadmill.backends.storage.headers import decoded, encoded

#: The name under which our sha256 is kept. No name of a user's becomes this one: an underscore
#: of theirs is doubled.
SHA256_NAME = "uploadmill_sha256"

#: Azure drops dots at the end of a segment. Where there are some, a tilde is put behind them,
#: and one more where tildes stood there already.
_DOTTED = re.compile(r"\.~*$")
_DOTTED_AND_MARKED = re.compile(r"(\.~*)~$")

#: Metadata names have to be C# identifiers: no hyphen, no digit in front.
_ESCAPES = {"_": "__", "-": "_m"}
_ESCAPED = re.compile(r"_(.)")
_ORIGINALS = {"_": "_", "m": "-", "d": ""}
_BEFORE_A_DIGIT = "_d"


def blob_name(key: str) -> str:
    """A key, or the whole segments of a prefix, as a blob's name."""
    return "/".join(map(_marked, key.split("/")))


def blob_prefix(prefix: str) -> str:
    """What the names of all blobs start with whose keys start with *prefix*.

    Its last segment may be half a name, so nothing is known of that one's end. Blobs that have
    other keys may start so too.
    """
    folders, slash, last = prefix.rpartition("/")
    return blob_name(folders) + slash + last


def key_of(name: str) -> str:
    """The key that a blob's name, or the prefix of one, stands for."""
    return "/".join(_DOTTED_AND_MARKED.sub(r"\1", segment) for segment in name.split("/"))


def _marked(segment: str) -> str:
    return segment + "~" if _DOTTED.search(segment) else segment


def azure_metadata(metadata: Mapping[str, str], sha256: str | None) -> dict[str, str]:
    """Metadata as Azure's headers carry it; of others' objects, which have no sha256, as it is."""
    if sha256 is None:
        return dict(metadata)
    ours = {_escaped(name): encoded(value) for name, value in metadata.items()}
    return ours | {SHA256_NAME: sha256}


def from_azure_metadata(found: Mapping[str, str] | None) -> tuple[dict[str, str], str | None]:
    """The inverse of :func:`azure_metadata`: the metadata and the sha256."""
    metadata = dict(found or {})
    sha256 = metadata.pop(SHA256_NAME, None)
    if sha256 is None:
        return metadata, None
    return {_original(name): decoded(value) for name, value in metadata.items()}, sha256


def _escaped(name: str) -> str:
    escaped = "".join(_ESCAPES.get(character, character) for character in name)
    return _BEFORE_A_DIGIT + escaped if name[0].isdigit() else escaped


def _original(name: str) -> str:
    return _ESCAPED.sub(lambda escape: _ORIGINALS.get(escape[1], escape[0]), name)
