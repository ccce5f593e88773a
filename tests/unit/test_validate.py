"""What an upload is by its content, and what is refused."""

from __future__ import annotations

import io
import tracemalloc

import pytest
from pictures import bomb, encoded, photograph, scene, webp_bomb, written
from PIL import Image

from uploadmill.errors import (
    CorruptUpload,
    PixelLimitExceeded,
    SizeLimitExceeded,
    UnsupportedMedia,
)
from uploadmill.pipeline import Optimize, Plan, Resize, Validate
from uploadmill.tasks.validate import Validated, validate

DOCUMENTS = Validate(types=("application/pdf", "text/plain"))
PDF = b"%PDF-1.7\n1 0 obj\n<<>>\nendobj\ntrailer <<>>\nstartxref\n9\n%%EOF\n"


@pytest.mark.parametrize(
    ("encoder", "content_type"),
    [("JPEG", "image/jpeg"), ("PNG", "image/png"), ("WEBP", "image/webp")],
)
def test_a_picture_is_known_by_its_content(tmp_path, encoder, content_type):
    path = written(tmp_path / "holiday.txt", photograph(40, 30, encoder=encoder))

    assert Validated(content_type, 40, 30) == validate(path, Validate())


def test_size_is_as_displayed(tmp_path):
    path = written(tmp_path / "a", photograph(40, 30, orientation=6))

    assert Validated("image/jpeg", 40, 30) == validate(path, Validate())


def test_a_text_called_jpg_is_no_picture(tmp_path):
    path = written(tmp_path / "photo.jpg", b"I am not a photograph.\n" * 20)

    with pytest.raises(UnsupportedMedia, match=r"is text/plain; this pipeline takes image/jpeg"):
        validate(path, Validate())


def test_an_empty_file_is_nothing(tmp_path):
    with pytest.raises(UnsupportedMedia):
        validate(written(tmp_path / "a", b""), Validate())


@pytest.mark.parametrize("encoder", ["JPEG", "PNG", "WEBP"])
@pytest.mark.parametrize("part", [0.5, 0.9, 0.999])
def test_a_truncated_picture_is_corrupt(tmp_path, encoder, part):
    whole = photograph(encoder=encoder)
    path = written(tmp_path / "a", whole[: int(len(whole) * part)])

    with pytest.raises(CorruptUpload, match="truncated"):
        validate(path, Validate())


def test_a_truncated_progressive_jpeg_is_corrupt(tmp_path):
    whole = photograph(progressive=True)
    path = written(tmp_path / "a", whole[: len(whole) // 2])

    with pytest.raises(CorruptUpload, match="truncated"):
        validate(path, Validate())


def test_what_phones_append_to_a_jpeg_does_no_harm(tmp_path):
    path = written(tmp_path / "a", photograph(40, 30) + b"a film" * 1000)

    assert Validated("image/jpeg", 40, 30) == validate(path, Validate())


def test_a_jpeg_that_brings_a_second_picture_stays_one_jpeg(tmp_path):
    second = scene(20, 10)
    path = written(
        tmp_path / "a", encoded(scene(40, 30), "MPO", save_all=True, append_images=[second])
    )

    assert Validated("image/jpeg", 40, 30) == validate(path, Validate())


def test_pixels_that_no_later_step_would_decode_are_decoded_here(tmp_path):
    # Every part is there, and the pixels are nonsense.
    whole = bytearray(photograph(encoder="PNG"))
    middle = whole.index(b"IDAT") + 200
    whole[middle : middle + 400] = bytes(400)
    path = written(tmp_path / "a", bytes(whole))

    assert "image/png" == validate(path, Validate(decode=False)).content_type
    with pytest.raises(CorruptUpload, match="cannot be decoded"):
        validate(path, Validate(decode=True))


@pytest.mark.parametrize(
    ("later", "decode"),
    [((), True), ((Resize(a="10x10"),), False), ((Optimize(),), False)],
)
def test_the_plan_says_whether_validate_decodes(later, decode):
    plan = Plan.of("p", (Validate(), *later))

    assert decode == plan["validate"].options["decode"]


@pytest.mark.parametrize("content", [bomb(), webp_bomb()], ids=["png", "webp"])
def test_a_bomb_is_refused_by_its_header(tmp_path, content):
    path = written(tmp_path / "a", content)
    tracemalloc.start()

    with pytest.raises(PixelLimitExceeded) as caught:
        validate(path, Validate())

    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert 50_000_000 == caught.value.limit
    assert peak < 2_000_000


def test_frames_count(tmp_path):
    frames = [scene(100, 100) for _ in range(5)]
    path = written(
        tmp_path / "a", encoded(frames[0], "WEBP", save_all=True, append_images=frames[1:])
    )

    with pytest.raises(PixelLimitExceeded) as caught:
        validate(path, Validate(max_pixels=49_999))
    assert 50_000 == caught.value.actual
    assert 5 == validate(path, Validate(max_pixels=50_000)).frames


def test_pillows_own_pixel_limit_stays_as_the_host_set_it(tmp_path):
    before = Image.MAX_IMAGE_PIXELS
    path = written(tmp_path / "a", photograph(40, 30))

    validate(path, Validate())

    assert before == Image.MAX_IMAGE_PIXELS


def test_too_many_bytes_are_refused(tmp_path):
    path = written(tmp_path / "a", photograph())

    with pytest.raises(SizeLimitExceeded):
        validate(path, Validate(max_size=1000))


@pytest.mark.parametrize(
    "segment",
    [b"\xff\xda\x00\x02" * 200, b"\xff\xe0\x00\x02" * 200_000, b"\xff\xe0\x00\x01"],
    ids=["scans", "segments", "no length"],
)
def test_a_jpeg_made_to_keep_us_busy_is_refused(tmp_path, segment):
    path = written(tmp_path / "a", photograph(8, 8)[:-2] + segment + b"\xff\xd9")

    with pytest.raises(CorruptUpload, match=r"more than|without a length"):
        validate(path, Validate())


def test_magic_bytes_alone_make_no_picture(tmp_path):
    for start in (
        b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR",
        b"\xff\xd8\xff\xe0\0\x10JFIF",
        b"RIFF\x04\0\0\0WEBPVP8 ",
    ):
        with pytest.raises((CorruptUpload, UnsupportedMedia)):
            validate(written(tmp_path / "a", start), Validate())


def test_a_pdf_has_a_start_and_an_end(tmp_path):
    path = tmp_path / "a"

    assert Validated("application/pdf") == validate(written(path, PDF), DOCUMENTS)
    with pytest.raises(CorruptUpload, match="truncated"):
        validate(written(path, PDF[:40]), DOCUMENTS)


@pytest.mark.parametrize(
    "content",
    [
        b"plain\n",
        "größer\n".encode(),
        "größer\n".encode("latin-1"),
        "größer\n".encode("utf-16"),
        b'#include <stdio.h>\nint main(void) { return puts("hello"); }\n',
    ],
    ids=["ascii", "utf-8", "latin-1", "utf-16", "a program"],
)
def test_text_is_plain_text_in_any_encoding(tmp_path, content):
    assert Validated("text/plain") == validate(written(tmp_path / "a", content), DOCUMENTS)


@pytest.mark.parametrize(
    "content",
    [
        b"<!DOCTYPE html><html><script>alert(1)</script></html>",
        b"text\n" * 400_000 + b"\0\1\2",
        b"\xff\xfe" + b"a\0" * 2_000_000 + b"\x00\xd8",
    ],
    ids=["html", "late NUL", "broken utf-16"],
)
def test_what_is_not_plain_text_is_refused(tmp_path, content):
    with pytest.raises(UnsupportedMedia):
        validate(written(tmp_path / "a", content), DOCUMENTS)


def test_a_late_exif_chunk_turns_a_png_too(tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6
    early = photograph(40, 30, encoder="PNG", orientation=6)
    start = early.index(b"eXIf") - 4
    size = int.from_bytes(early[start : start + 4]) + 12
    late = early[:start] + early[start + size : -12] + early[start : start + size] + early[-12:]

    assert Image.open(io.BytesIO(late)).size == (30, 40)
    assert Validated("image/png", 40, 30) == validate(written(tmp_path / "a", late), Validate())
