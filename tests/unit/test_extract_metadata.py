"""Facts about a file: right for honest ones, harmless for those made to hurt."""

from __future__ import annotations

import json
import struct
from random import Random

import pytest
from pictures import bomb, camera_exif, encoded, photograph, scene, srgb, written
from PIL import Image
from PIL.TiffImagePlugin import IFDRational

from uploadmill.tasks.exif import MAX_TEXT, number, text
from uploadmill.tasks.extract_metadata import extract_metadata


def test_a_photograph_is_described_as_people_see_it(tmp_path):
    content = photograph(80, 60, orientation=6, exif=camera_exif(), icc=srgb(), dpi=(300, 300))
    path = written(tmp_path / "a", content)

    facts = extract_metadata(path, "image/jpeg")

    assert {
        "content_type": "image/jpeg",
        "size": len(content),
        "format": "JPEG",
        "mode": "RGB",
        "width": 80,
        "height": 60,
        "frames": 1,
        "dpi": [300, 300],
        "icc_profile": "sRGB built-in",
        "exif": {
            "make": "Optica",
            "model": "Model 7",
            "lens": "35mm f/2.8",
            "taken_at": "2024-05-06T07:08:09+02:00",
            "exposure_s": 0.004,
            "aperture": 2.8,
            "iso": 400,
            "focal_length_mm": 35,
            "orientation": 6,
            "has_gps": True,
        },
    } == facts


def test_the_place_is_never_told(tmp_path):
    path = written(tmp_path / "a", photograph(80, 60, exif=camera_exif()))

    told = json.dumps(extract_metadata(path, "image/jpeg"))

    assert "48" not in told
    assert "51" not in told


def test_a_picture_without_exif_has_none(tmp_path):
    path = written(tmp_path / "a", photograph(80, 60, encoder="PNG"))

    assert {"content_type", "size", "format", "mode", "width", "height", "frames"} == set(
        extract_metadata(path, "image/png")
    )


def test_frames_are_counted(tmp_path):
    frames = [scene(20, 20) for _ in range(3)]
    for encoder, kind in (("PNG", "image/png"), ("WEBP", "image/webp")):
        film = encoded(frames[0], encoder, save_all=True, append_images=frames[1:])
        assert 3 == extract_metadata(written(tmp_path / "a", film), kind)["frames"]


def test_nothing_is_decoded(tmp_path):
    facts = extract_metadata(written(tmp_path / "a", bomb(5000, 4000)), "image/png")

    assert (5000, 4000) == (facts["width"], facts["height"])


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ("plain", "plain"),
        ("cut\0here", "cut"),
        ("bell\x07 and\x1b[31m red", "bell and[31m red"),
        ("Ångström".encode().decode("latin-1"), "Ångström"),
        (b"\xff\xfe", "ÿþ"),
        ("x" * 100_000, "x" * MAX_TEXT),
        ("  \n ", None),
        (17, None),
        (("a", "b"), None),
        ("\ud800", "?"),
    ],
)
def test_text_is_printable_and_short(given, expected):
    assert expected == text(given)


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        (2.8, 2.8),
        ((400, 800), 400),
        (0.1 + 0.2, 0.3),
        (float("nan"), None),
        (float("inf"), None),
        (-1, None),
        ("12", None),
        (10**400, None),
        ((), None),
        (None, None),
    ],
)
def test_numbers_are_finite(given, expected):
    assert expected == number(given)


def test_hostile_fields_leave_the_honest_ones_alone(tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 77
    exif[0x010F] = "M" * 5000 + "\0hidden"
    details = exif.get_ifd(0x8769)
    details[0x829A] = IFDRational(1, 0)
    details[0x9003] = "yesterday at noon"
    details[0x8827] = 100
    path = written(tmp_path / "a", photograph(80, 60, exif=exif))

    facts = extract_metadata(path, "image/jpeg")

    assert {
        "make": "M" * MAX_TEXT,
        "iso": 100,
        "orientation": 1,
        "has_gps": False,
    } == facts["exif"]


@pytest.mark.filterwarnings("ignore")
def test_no_exif_breaks_the_step(tmp_path):
    # Given a real block, of which some bytes at random become others
    block, chance = camera_exif().tobytes(), Random(7)  # noqa: S311 - the same bytes each time
    for _ in range(400):
        broken = bytearray(block)
        for _ in range(chance.randint(1, 12)):
            broken[chance.randrange(6, len(broken))] = chance.choice(
                (0, 255, chance.randrange(256))
            )
        path = written(tmp_path / "a", encoded(scene(8, 8), "JPEG", exif=bytes(broken)))

        # Then the result is still JSON, and small
        told = json.dumps(extract_metadata(path, "image/jpeg"), allow_nan=False)
        assert len(told) < 4000


@pytest.mark.filterwarnings("ignore")
def test_a_directory_that_contains_itself_ends(tmp_path):
    loop = b"Exif\0\0II*\0\x08\0\0\0" + struct.pack("<HHHIII", 1, 0x8769, 4, 1, 8, 8)
    path = written(tmp_path / "a", encoded(scene(8, 8), "JPEG", exif=loop))

    assert 8 == extract_metadata(path, "image/jpeg")["width"]


@pytest.mark.parametrize(
    ("content", "encoding", "lines"),
    [
        (b"", "utf-8", 0),
        (b"one", "utf-8", 1),
        (b"one\ntwo\n", "utf-8", 2),
        ("größer\n".encode() * 300_000, "utf-8", 300_000),
        ("größer\n".encode("latin-1") * 3, "latin-1", 3),
        ("größer\nzwei".encode("utf-16"), "utf-16", 2),
    ],
)
def test_text_has_an_encoding_and_lines(tmp_path, content, encoding, lines):
    facts = extract_metadata(written(tmp_path / "a", content), "text/plain")

    assert {
        "content_type": "text/plain",
        "size": len(content),
        "encoding": encoding,
        "lines": lines,
    } == facts


def test_a_pdf_says_its_version_and_sometimes_its_pages(tmp_path):
    plain = written(tmp_path / "a", b"%PDF-1.4\n1 0 obj\n")
    web = written(tmp_path / "b", b"%PDF-1.7\n1 0 obj\n<< /Linearized 1 /L 9 /N 12 >>")

    assert "1.4" == extract_metadata(plain, "application/pdf")["pdf_version"]
    assert "pages" not in extract_metadata(plain, "application/pdf")
    assert 12 == extract_metadata(web, "application/pdf")["pages"]
