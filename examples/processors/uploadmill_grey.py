"""A processor of one's own: takes the colour out of pictures that are too bright."""

from pathlib import Path

from PIL import Image, ImageStat
from pydantic import Field, JsonValue

from uploadmill.errors import UploadRejected
from uploadmill.pipeline import StepOptions
from uploadmill.tasks.processor import Processor


class Grey(StepOptions):
    """Make grey what is brighter than *above*; refuse what is nothing but white."""

    step = "grey"
    above: int = Field(default=0, ge=0, le=255, description="mean brightness")


def grey(source: Path, target: Path, options: Grey) -> dict[str, JsonValue]:
    """Write a grey picture to *target*, or leave it so that *source* stays."""
    with Image.open(source, formats=["JPEG", "PNG", "WEBP", "TIFF"]) as picture:
        shade = picture.convert("L")
        brightness = round(ImageStat.Stat(shade).mean[0])
        if shade.getextrema() == (255, 255):
            raise UploadRejected("the picture is all white")
        if brightness > options.above:
            shade.save(target, "TIFF")
    return {"brightness": brightness}


processor = Processor(grey, Grey)
