"""Fitting into boxes: sizes, turning, colours, quality, and what is refused."""

from __future__ import annotations

import io
from itertools import pairwise

import pytest
from pictures import (
    CORNERS,
    bomb,
    camera_exif,
    corners_of,
    encoded,
    photograph,
    psnr,
    read,
    scene,
    srgb,
    webp_bomb,
    written,
)
from PIL import Image
from PIL.Image import Resampling

from uploadmill.errors import CorruptUpload, PixelLimitExceeded, UnsupportedMedia
from uploadmill.pipeline import Box
from uploadmill.tasks.resize import Fit, Size, resize

UPRIGHT = {name: name for name in CORNERS}


@pytest.fixture
def resized(tmp_path):
    """Resizes a file's bytes into the boxes given by name, and reads the results."""

    def run(content: bytes, **boxes: str) -> dict[str, Image.Image]:
        source = written(tmp_path / "source", content)
        targets = {name: tmp_path / name for name in boxes}
        sizes = resize(source, targets, {name: Box.parse(text) for name, text in boxes.items()})
        pictures = {name: read(path) for name, path in targets.items()}
        assert {name: (size.width, size.height) for name, size in sizes.items()} == {
            name: picture.size for name, picture in pictures.items()
        }
        return pictures

    return run


@pytest.mark.parametrize(
    ("picture", "box", "scaled", "final"),
    [
        ((4000, 3000), "1440x1080", (1440, 1080), (1440, 1080)),
        ((4000, 3000), "1440x9999", (1440, 1080), (1440, 1080)),
        ((3000, 4000), "1440x1080", (810, 1080), (810, 1080)),
        ((400, 300), "1440x1080", (400, 300), (400, 300)),
        ((4000, 3000), "256x256:crop", (341, 256), (256, 256)),
        ((400, 100), "256x256:crop", (400, 100), (256, 100)),
        ((65000, 2), "100x100", (100, 1), (100, 1)),
    ],
)
def test_fit(picture, box, scaled, final):
    assert Fit(Size(*scaled), Size(*final)) == Fit.of(Size(*picture), Box.parse(box))


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("encoder", ["JPEG", "PNG", "WEBP"])
def test_each_orientation_comes_out_upright(resized, orientation, encoder):
    content = photograph(400, 300, orientation=orientation, encoder=encoder)

    pictures = resized(content, fitted="200x200", wide="100x20:crop", whole="999x999")

    assert (200, 150) == pictures["fitted"].size
    assert (100, 20) == pictures["wide"].size
    assert (400, 300) == pictures["whole"].size
    assert UPRIGHT == corners_of(pictures["fitted"])
    assert UPRIGHT == corners_of(pictures["whole"])
    assert pictures["fitted"].getexif().get(0x0112, 1) == 1


def test_a_crop_keeps_the_middle(resized):
    picture = Image.new("RGB", (300, 100), "black")
    picture.paste("white", (100, 0, 200, 100))

    cropped = resized(encoded(picture, "PNG"), square="50x50:crop")["square"]

    assert min(low for low, _ in cropped.crop((3, 3, 47, 47)).getextrema()) > 250


def test_results_are_uncompressed_and_carry_nothing_but_what_may_stay(resized):
    content = photograph(exif=camera_exif(), icc=srgb(), comment=b"secret")

    picture = resized(content, a="100x100")["a"]

    assert ("TIFF", "raw") == (picture.format, picture.info["compression"])
    assert srgb() == picture.info["icc_profile"]
    tags = dict(picture.getexif())
    assert "(c) the studio" == tags[0x8298]
    assert "Ångström Studio" == tags[0x013B].encode("latin-1").decode()
    assert not {0x010F, 0x0110, 0x8769, 0x8825} & tags.keys()


@pytest.mark.parametrize(
    ("width", "height", "box", "decibels"),
    [(1600, 1200, "576x432", 0.5), (1600, 1200, "768x576", 1.0), (1200, 1600, "400x100", 0.5)],
)
def test_a_scaled_decode_is_as_good_as_a_full_one(resized, width, height, box, decibels):
    # Given what a camera saw, and its JPEG
    seen = scene(width, height)
    content = encoded(seen, "JPEG", quality=92)

    # When it is resized by us, and in the naive way: all pixels decoded, then resized
    ours = resized(content, a=box)["a"]
    ideal = seen.resize(ours.size, Resampling.LANCZOS)
    naive = _decoded(content).resize(ours.size, Resampling.LANCZOS)

    # Then, as a visitor gets them, they are equally near to what the camera saw.
    ours, naive = (_decoded(encoded(p, "JPEG", quality=85)) for p in (ours, naive))
    assert psnr(naive, ideal) - psnr(ours, ideal) < decibels


def test_a_thumbnail_made_from_a_larger_box_is_as_good_as_one_made_alone(resized):
    content = photograph(1600, 1200)

    together = resized(content, large="800x600", medium="400x300", thumb="100x75")
    alone = resized(content, thumb="100x75")["thumb"]

    assert psnr(together["thumb"], alone) > 45


def test_a_box_little_smaller_than_another_is_made_from_the_upload(resized):
    content = photograph(800, 600, encoder="PNG")

    together = resized(content, large="400x300", little_less="340x255")["little_less"]
    alone = resized(content, little_less="340x255")["little_less"]

    assert alone.tobytes() == together.tobytes()


def test_how_a_tiff_was_packed_is_not_handed_on(tmp_path):
    # A processor of one's own may have written it so.
    packed = written(tmp_path / "a", encoded(scene(80, 60), "TIFF", compression="tiff_lzw"))
    box = {"whole": Box.parse("80x60")}

    resize(packed, {"whole": tmp_path / "b"}, box, content_type="image/tiff")

    assert "raw" == read(tmp_path / "b").info["compression"]


def test_bands_leave_no_seams(resized):
    # A soft slope, on which a step of one row would be seen.
    content = encoded(Image.linear_gradient("L").resize((600, 1200)), "PNG")

    column = resized(content, a="400x800")["a"].crop((200, 0, 201, 800)).tobytes()

    assert max(abs(a - b) for a, b in pairwise(column)) <= 1


def test_what_is_transparent_does_not_darken_what_is_not(resized):
    # A white disc on transparent black: the edge must stay white all the way out.
    disc = Image.new("L", (400, 400))
    disc.paste(255, (100, 100, 300, 300))
    picture = Image.new("RGBA", (400, 400), (0, 0, 0, 0))
    picture.paste((255, 255, 255, 255), mask=disc)

    small = resized(encoded(picture, "PNG"), a="37x37")["a"]

    assert "RGBA" == small.mode
    half = [p for p in small.get_flattened_data() if 20 < p[3] < 235]
    assert half
    assert min(min(pixel[:3]) for pixel in half) >= 245


@pytest.mark.parametrize(
    ("mode", "encoder", "made"),
    [
        ("L", "JPEG", "L"),
        ("CMYK", "JPEG", "CMYK"),
        ("P", "PNG", "RGB"),
        ("LA", "PNG", "LA"),
        ("1", "PNG", "L"),
        ("I;16", "PNG", "I;16"),
        ("RGBA", "WEBP", "RGBA"),
    ],
)
def test_every_mode_can_be_resized(resized, mode, encoder, made):
    picture = Image.new("I;16", (80, 60), 40_000) if mode == "I;16" else scene(80, 60).convert(mode)
    if mode == "RGBA":
        picture.putalpha(100)

    small = resized(encoded(picture, encoder), a="40x40")["a"]

    assert (made, (40, 30)) == (small.mode, small.size)
    if mode == "I;16":
        assert (40_000, 40_000) == small.getextrema()


def test_a_palette_with_a_transparent_colour_keeps_it(resized):
    picture = Image.new("P", (80, 60), 1)
    picture.putpalette([0, 0, 0, 250, 10, 10])
    picture.paste(0, (0, 0, 40, 60))

    small = resized(encoded(picture, "PNG", transparency=0), a="40x40")["a"]

    assert "RGBA" == small.mode
    assert 0 == small.getpixel((5, 15))[3]
    assert (250, 10, 10, 255) == small.getpixel((35, 15))


@pytest.mark.parametrize("content", [bomb(), webp_bomb()], ids=["png", "webp"])
def test_the_pixel_limit_is_checked_again(resized, content):
    with pytest.raises(PixelLimitExceeded):
        resized(content, a="10x10")


@pytest.mark.parametrize("encoder", ["JPEG", "PNG", "WEBP"])
def test_a_truncated_picture_is_corrupt(resized, encoder):
    whole = photograph(encoder=encoder)

    with pytest.raises(CorruptUpload):
        resized(whole[: len(whole) * 2 // 3], a="100x100")


def test_what_is_no_picture_is_refused(resized):
    with pytest.raises(UnsupportedMedia):
        resized(b"just words\n", a="100x100")


def _decoded(content: bytes) -> Image.Image:
    with Image.open(io.BytesIO(content)) as picture:
        picture.load()
    return picture
