"""The demonstration's picture is like one of a camera."""

from PIL import ExifTags, Image

from uploadmill.worker.commands.drawing import draw_photo


def test_a_drawn_photograph_has_what_cameras_write(tmp_path):
    draw_photo(tmp_path / "photo.jpg", (400, 300))

    with Image.open(tmp_path / "photo.jpg") as picture:
        exif = picture.getexif()
        assert ("JPEG", (400, 300), "RGB") == (picture.format, picture.size, picture.mode)
        assert ("uploadmill", 6) == (exif[ExifTags.Base.Make], exif[ExifTags.Base.Orientation])
        assert exif.get_ifd(ExifTags.IFD.GPSInfo)
        assert picture.info["icc_profile"]
