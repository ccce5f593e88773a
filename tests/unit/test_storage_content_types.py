"""The type of an object that nobody gave one: by content, else by extension."""

import io

import pytest
from pictures import photograph
from PIL import Image

from uploadmill.backends.storage.content_types import content_type_of
from uploadmill.backends.storage.memory import MemoryStorage


def picture(kind):
    file = io.BytesIO()
    Image.new("RGB", (8, 8)).save(file, kind)
    return file.getvalue()


@pytest.mark.parametrize("kind", ["jpeg", "png", "gif", "webp", "tiff", "avif"])
def test_a_picture_is_known_by_its_content_whatever_it_is_called(kind):
    assert f"image/{kind}" == content_type_of(picture(kind)[:64], "picture.txt")


@pytest.mark.parametrize(
    ("head", "key", "expected"),
    [
        (b"%PDF-1.7\n", "letter.jpg", "application/pdf"),
        (b"PK\x03\x04....", "letter", "application/zip"),
        (b"PK\x03\x04....", "book.epub", "application/epub+zip"),
        (b"\0\0\0\x18ftypmp42\0\0\0\0", "film", "video/mp4"),
        (b"\0\0\0\x18ftypheic\0\0\0\0", "film.mov", "image/heic"),
        (b"\0\0\0\x18ftypmp42\0\0\0\0", "film.m4v", "video/mp4"),
        (b"RIFF\x24\0\0\0WAVEfmt ", "sound", "audio/wave"),
        (b"RIFF\x24\0\0\0????", "sound", "application/octet-stream"),
        (b"BMW cars are fine", "prose.txt", "text/plain"),
        (b"MZ is a country", "prose.txt", "text/plain"),
        (b"body { color: red }", "page.css", "text/css"),
        (b"", "empty.json", "application/json"),
        (b"", "nothing", "application/octet-stream"),
    ],
)
def test_what_says_nothing_definite_is_known_by_its_extension(head, key, expected):
    assert expected == content_type_of(head, key)


def test_a_store_looks_at_the_content_and_loses_none_of_it():
    storage = MemoryStorage()
    content = photograph(64, 48)

    stat = storage.put("picture.png", content)

    assert ("image/jpeg", len(content)) == (stat.content_type, stat.size)
    assert content == storage.read("picture.png", 1_000_000, verify=True)
