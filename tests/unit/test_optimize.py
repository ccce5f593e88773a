"""Encoding: formats, colours, and that nothing private gets out."""

from __future__ import annotations

import io
import re

import pytest
from pictures import camera_exif, corners_of, encoded, photograph, psnr, read, scene, srgb, written
from PIL import Image, ImageCms

from uploadmill.errors import CorruptUpload, UnsupportedMedia
from uploadmill.pipeline import Optimize
from uploadmill.tasks.optimize import FORMATS, Encoded, optimize

TYPES = {"JPEG": "image/jpeg", "PNG": "image/png", "WEBP": "image/webp"}


@pytest.fixture
def optimized(tmp_path):
    """Encodes a file's bytes and reads the result."""

    def run(content: bytes, encoder: str, **options: object) -> tuple[Encoded, Image.Image, bytes]:
        source, target = written(tmp_path / "source", content), tmp_path / "target"
        made = optimize(source, target, Optimize(**options), TYPES[encoder])
        picture = read(target)
        assert (made.content_type, made.width, made.height) == (
            TYPES[picture.format],
            *picture.size,
        )
        return made, picture, target.read_bytes()

    return run


@pytest.mark.parametrize("encoder", TYPES)
def test_auto_keeps_the_format_and_turns_the_picture(optimized, encoder):
    made, picture, _ = optimized(photograph(80, 60, orientation=8, encoder=encoder), encoder)

    assert Encoded(TYPES[encoder], 80, 60) == made
    assert {name: name for name in corners_of(picture)} == corners_of(picture)


@pytest.mark.parametrize("form", ["jpeg", "png", "webp"])
def test_a_format_that_is_asked_for(optimized, form):
    made, _, _ = optimized(photograph(80, 60), "JPEG", format=form)

    assert f"image/{form}" == made.content_type


def test_a_jpeg_is_progressive_and_smaller_at_less_quality(optimized):
    content = photograph(quality=95)

    _, picture, fine = optimized(content, "JPEG", quality=90)
    _, _, coarse = optimized(content, "JPEG", quality=60)

    assert picture.info["progressive"]
    assert len(coarse) < len(fine)


@pytest.mark.parametrize(("quality", "halved"), [(85, True), (90, False)])
def test_colour_is_at_full_resolution_from_quality_90(optimized, quality, halved):
    _, picture, _ = optimized(photograph(80, 60), "JPEG", quality=quality)

    first = picture.layer[0]
    assert halved == ((2, 2) == (first[1], first[2]))


@pytest.mark.parametrize("encoder", TYPES)
def test_of_exif_only_the_named_fields_stay(optimized, encoder):
    content = photograph(80, 60, exif=camera_exif(), encoder=encoder)

    _, picture, raw = optimized(content, encoder, keep=("copyright",))

    assert {0x8298: "(c) the studio"} == dict(picture.getexif())
    assert not picture.getexif().get_ifd(0x8825)
    for private in (b"Optica", b"Model 7", b"A drawing", "Ångström".encode(), b"2024:05:06"):
        assert private not in raw


def test_nothing_to_keep_means_no_exif_at_all(optimized):
    _, picture, raw = optimized(photograph(80, 60, exif=camera_exif()), "JPEG", keep=())

    assert "exif" not in picture.info
    assert b"Exif" not in raw


def test_comments_texts_and_xmp_go(optimized):
    xmp = b"<x:xmpmeta xmlns:x='adobe:ns:meta/'>secret place</x:xmpmeta>"
    for encoder, save in (
        ("JPEG", {"comment": b"secret place", "xmp": xmp}),
        ("WEBP", {"xmp": xmp}),
    ):
        _, _, raw = optimized(photograph(80, 60, encoder=encoder, **save), encoder)
        assert b"secret" not in raw


@pytest.mark.parametrize("encoder", TYPES)
def test_a_profile_that_fits_stays(optimized, encoder):
    _, picture, _ = optimized(photograph(80, 60, icc=srgb(), encoder=encoder), encoder)

    assert srgb() == picture.info["icc_profile"]


def test_a_broken_profile_goes(optimized):
    _, picture, _ = optimized(photograph(80, 60, icc=b"no profile at all" * 20), "JPEG")

    assert "icc_profile" not in picture.info


def test_cmyk_becomes_srgb(optimized):
    _, picture, _ = optimized(photograph(80, 60, mode="CMYK"), "JPEG")

    assert "RGB" == picture.mode
    assert {name: name for name in corners_of(picture)} == corners_of(picture)


def test_grey_with_a_grey_profile_becomes_srgb_where_the_format_has_no_grey(optimized, tmp_path):
    grey = _grey_profile()
    content = photograph(80, 60, mode="L", icc=grey)

    _, stays, _ = optimized(content, "JPEG")
    _, coloured, _ = optimized(content, "JPEG", format="webp")

    assert ("L", grey) == (stays.mode, stays.info["icc_profile"])
    assert "RGB" == coloured.mode
    assert "icc_profile" not in coloured.info


@pytest.mark.parametrize("mode", ["RGBA", "LA", "P"])
def test_transparency_in_a_jpeg_is_laid_on_white(optimized, mode):
    picture = Image.new("RGBA", (40, 40), (10, 10, 10, 0))
    picture.paste((10, 10, 10, 255), (0, 0, 20, 40))
    content = encoded(picture.convert(mode), "PNG")

    _, made, _ = optimized(content, "PNG", format="jpeg")

    assert made.mode in ("RGB", "L")
    assert min(made.convert("RGB").getpixel((35, 20))) > 245
    assert max(made.convert("RGB").getpixel((5, 20))) < 25


@pytest.mark.parametrize("mode", ["RGBA", "LA", "P"])
def test_transparency_stays_where_it_can(optimized, mode):
    picture = Image.new("RGBA", (40, 40), (200, 10, 10, 0))
    picture.paste((200, 10, 10, 255), (0, 0, 20, 40))

    for form in ("png", "webp"):
        _, made, _ = optimized(encoded(picture.convert(mode), "PNG"), "PNG", format=form)
        alpha = made.convert("RGBA").getchannel("A")
        assert (0, 255) == (alpha.getpixel((35, 20)), alpha.getpixel((5, 20)))


@pytest.mark.parametrize(("form", "mode"), [("png", "I;16"), ("jpeg", "L"), ("webp", "RGB")])
def test_sixteen_bits_stay_in_png_and_become_eight_elsewhere(optimized, form, mode):
    content = encoded(Image.new("I;16", (20, 20), 32_768), "PNG")

    _, made, _ = optimized(content, "PNG", format=form)

    assert mode == made.mode
    value = made.getpixel((10, 10))
    assert (32_768 if form == "png" else 127.5) == pytest.approx(
        value[0] if isinstance(value, tuple) else value, abs=1.5
    )


@pytest.mark.parametrize("mode", ["1", "L", "P", "RGB"])
@pytest.mark.parametrize("form", ["jpeg", "png", "webp"])
def test_every_mode_can_be_encoded(optimized, mode, form):
    picture = scene(80, 60).convert(mode)

    _, made, _ = optimized(encoded(picture, "PNG"), "PNG", format=form, quality=95)

    assert psnr(made.convert("RGB"), picture.convert("RGB")) > 20


def test_a_truncated_picture_is_corrupt(optimized):
    whole = photograph()

    with pytest.raises(CorruptUpload):
        optimized(whole[: len(whole) // 2], "JPEG")


@pytest.mark.parametrize("form", ["jpeg", "webp"])
def test_a_side_longer_than_a_format_holds_is_the_uploads_fault(optimized, form):
    longest = FORMATS[form].longest_side

    made, _, _ = optimized(encoded(Image.new("RGB", (longest, 1)), "PNG"), "PNG", format=form)

    assert (longest, 1) == (made.width, made.height)
    with pytest.raises(UnsupportedMedia, match=f"{longest} a side at most"):
        optimized(encoded(Image.new("RGB", (1, longest + 1)), "PNG"), "PNG", format=form)


def test_no_field_of_exif_slips_through_by_its_name():
    with pytest.raises(ValueError, match=re.escape("'artist', 'copyright' or 'description'")):
        Optimize(keep=("copyrigth",))


def _grey_profile() -> bytes:
    """A grey profile: sRGB's header and white point, and a tone curve of gamma 1."""
    tags = {
        b"desc": b"desc" + bytes(4) + (5).to_bytes(4) + b"grey\0" + bytes(78),
        b"wtpt": b"XYZ " + bytes(4) + bytes.fromhex("0000f6d6000100000000d32d"),
        b"kTRC": b"curv" + bytes(8),
    }
    table, data = len(tags).to_bytes(4), b""
    start = 128 + 4 + 12 * len(tags)
    for name, payload in tags.items():
        table += name + (start + len(data)).to_bytes(4) + len(payload).to_bytes(4)
        data += payload + bytes(-len(payload) % 4)
    head = bytearray(srgb()[:128])
    head[16:20] = b"GRAY"
    head[:4] = (start + len(data)).to_bytes(4)
    profile = bytes(head) + table + data
    assert "GRAY" == ImageCms.ImageCmsProfile(io.BytesIO(profile)).profile.xcolor_space
    return profile
