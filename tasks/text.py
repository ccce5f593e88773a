"""Plain text, read as a stream: which encoding, how many lines."""

from __future__ import annotations

import codecs
from dataclasses import dataclass
from pathlib import Path

from uploadmill.errors import UnsupportedMedia

#: Bytes decoded at a time. Decoded they may take four times that; larger ones are no faster.
_READ = 1 << 17

_UTF16_MARKS = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)


@dataclass(frozen=True, slots=True)
class TextFacts:
    """How a text file is written: ``utf-8``, ``utf-16`` or ``latin-1``, and its lines."""

    encoding: str
    lines: int


def read_text_facts(source: Path) -> TextFacts:
    """Read the whole file once, a chunk at a time.

    Raises:
        UnsupportedMedia: It has NUL bytes, or a UTF-16 mark and is no UTF-16: that is not text.
    """
    with source.open("rb") as file:
        wide = file.read(2) in _UTF16_MARKS
    if wide:
        return _count(source, "utf-16")
    try:
        return _count(source, "utf-8")
    except UnicodeDecodeError:
        # Every byte is a letter in Latin-1, so this always succeeds.
        return _count(source, "latin-1")


def _count(source: Path, encoding: str) -> TextFacts:
    """Decode all of *source* and count its lines; the last one needs no line end."""
    decoder = codecs.getincrementaldecoder(encoding)()
    lines, last = 0, "\n"
    try:
        with source.open("rb") as file:
            while True:
                raw = file.read(_READ)
                decoded = decoder.decode(raw, final=not raw)
                if "\0" in decoded:
                    raise UnsupportedMedia("the file has NUL bytes, so it is not plain text")
                lines += decoded.count("\n")
                last = decoded[-1:] or last
                if not raw:
                    return TextFacts(encoding, lines + (last != "\n"))
    except UnicodeDecodeError as error:
        if encoding != "utf-16":
            raise
        raise UnsupportedMedia("the file is marked as UTF-16 but is not") from error
