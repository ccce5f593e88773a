"""Pipelines as data: which steps, in which order, with which options.

A pipeline names steps and their options; the *plan* is the pipeline with everything spelled out,
``pin`` first and ``commit`` last, as it is frozen into a job's record when the job is pinned.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping, Sequence
from typing import Annotated, Any, ClassVar, Literal, Self

from pydantic import BeforeValidator, Field, JsonValue, PlainSerializer, model_validator

from uploadmill.job import Document, Name

#: Largest picture we decode, in pixels times frames. 50 MP is 150 MB as RGB.
MAX_PIXELS = 50_000_000

#: Largest upload in bytes unless the pipeline says otherwise: 100 MB.
MAX_SIZE = 100_000_000

#: The media types that can be told by content and checked.
MediaType = Literal["image/jpeg", "image/png", "image/webp", "application/pdf", "text/plain"]

IMAGE_TYPES: tuple[MediaType, ...] = ("image/jpeg", "image/png", "image/webp")


class Box(Document):
    """A rectangle in pixels, written ``1920x1080``, or ``256x256:crop`` to fill it by cropping."""

    width: int = Field(gt=0, le=65_535)
    height: int = Field(gt=0, le=65_535)
    crop: bool = False

    @classmethod
    def parse(cls, value: Any) -> Any:
        """Turn the written form into a box; anything else is left to validation."""
        if not isinstance(value, str):
            return value
        match = re.fullmatch(r"(\d{1,5})x(\d{1,5})(:crop)?", value)
        if match is None:
            raise ValueError(f"{value!r} is not a box; write '1920x1080' or '256x256:crop'")
        return cls(width=int(match[1]), height=int(match[2]), crop=match[3] is not None)

    def __str__(self) -> str:
        return f"{self.width}x{self.height}" + (":crop" if self.crop else "")


BoxText = Annotated[Box, BeforeValidator(Box.parse), PlainSerializer(str, return_type=str)]


class StepOptions(Document):
    """The options of one step; subclass it for a processor of your own."""

    #: The step's name: the end of its Celery task name, and what a plan calls it.
    step: ClassVar[str]

    time_limit: float = Field(
        default=60.0, gt=0, le=3600, description="seconds one run of this step may take"
    )

    def to_step(self) -> Step:
        """This step as a plan holds it."""
        return Step(name=self.step, options=self.model_dump(mode="json"))


class Step(Document):
    """A processor's name with its options as JSON; what the options mean is the worker's affair."""

    name: Name
    options: dict[str, JsonValue] = Field(default_factory=dict)

    @model_validator(mode="before")
    @classmethod
    def _flat(cls, value: Any) -> Any:
        """Accept ``{step = "resize", large = "1920x1080"}``, as people write it in a file."""
        if isinstance(value, str):
            return {"name": value}
        if isinstance(value, Mapping) and "step" in value:
            rest = {key: item for key, item in value.items() if key != "step"}
            return {"name": value["step"], "options": rest}
        return value


class Pin(StepOptions):
    """Freeze the staged bytes on this node and hash them."""

    step = "pin"
    time_limit: float = Field(default=300.0, gt=0, le=3600)
    max_size: int = Field(default=MAX_SIZE, gt=0, description="bytes")


class Validate(StepOptions):
    """Refuse content of the wrong type, too many pixels, or that cannot be read."""

    step = "validate"
    types: tuple[MediaType, ...] = IMAGE_TYPES
    max_size: int = Field(default=MAX_SIZE, gt=0, description="bytes")
    max_pixels: int = Field(default=MAX_PIXELS, gt=0, description="pixels times frames")
    decode: bool | None = Field(
        default=None, description="decode to the end; unset: only where no later step does"
    )


class Scan(StepOptions):
    """Have the virus scanner look at the pinned bytes.

    ``scanner`` is for running a pipeline in process; a worker uses the one of its settings.
    """

    step = "scan"
    time_limit: float = Field(default=120.0, gt=0, le=3600)
    scanner: Any = Field(default=None, exclude=True, repr=False)


class ExtractMetadata(StepOptions):
    """Describe the file: type, size, dimensions, camera, colour profile."""

    step = "extract_metadata"


class Resize(StepOptions):
    """Fit the picture into named boxes, each an output; never enlarges.

    ``Resize(large="1920x1080", thumb="320x320:crop")`` names two.
    """

    step = "resize"
    boxes: dict[Name, BoxText] = Field(min_length=1)
    max_pixels: int | None = Field(
        default=None, gt=0, description="pixels times frames; unset: as validate has it"
    )

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)

    @model_validator(mode="before")
    @classmethod
    def _named_boxes(cls, value: Any) -> Any:
        """Take every option that is not one of ours as the name of a box."""
        if not isinstance(value, Mapping):
            return value
        own = {key: item for key, item in value.items() if key in cls.model_fields}
        boxes = {key: item for key, item in value.items() if key not in cls.model_fields}
        return {**own, "boxes": {**own.get("boxes", {}), **boxes}}


class Optimize(StepOptions):
    """Encode each output once, for the web."""

    step = "optimize"
    quality: int = Field(default=85, ge=1, le=100)
    format: Literal["auto", "jpeg", "png", "webp"] = Field(
        default="auto", description="auto keeps the format of the upload"
    )
    keep: tuple[Literal["artist", "copyright", "description"], ...] = Field(
        default=("artist", "copyright"), description="EXIF fields that stay; all others go"
    )
    max_pixels: int | None = Field(
        default=None, gt=0, description="pixels times frames; unset: as validate has it"
    )


class Commit(StepOptions):
    """Put the outputs into the primary store, or all of them into the secondary."""

    step = "commit"
    time_limit: float = Field(default=300.0, gt=0, le=3600)


class Plan(Document):
    """A pipeline with everything spelled out, as a job's record keeps it."""

    pipeline: Name
    steps: tuple[Step, ...]

    @model_validator(mode="after")
    def _each_step_once(self) -> Self:
        """Counters, files and notes of a record go by step name, so a name stands once."""
        twice = {name for name in self.names if self.names.count(name) > 1}
        if twice:
            raise ValueError(f"each step may stand once in a pipeline; twice: {sorted(twice)}")
        return self

    @classmethod
    def of(cls, pipeline: str, steps: Sequence[StepOptions]) -> Self:
        """Spell out *steps*: ``pin`` first, with ``validate``'s size limit; ``commit`` last."""
        sizes = [options.max_size for options in steps if isinstance(options, Validate)]
        pin = Pin(max_size=min(sizes, default=MAX_SIZE))
        return cls(
            pipeline=pipeline,
            steps=tuple(options.to_step() for options in (pin, *spell_out(steps), Commit())),
        )

    @property
    def names(self) -> tuple[str, ...]:
        """The steps' names in their order."""
        return tuple(step.name for step in self.steps)

    @property
    def scans(self) -> bool:
        """Whether nothing may be stored without a clean verdict."""
        return Scan.step in self.names

    @property
    def digest(self) -> str:
        """The sha256 of the plan's canonical JSON: equal plans, equal digest."""
        text = json.dumps(self.model_dump(mode="json"), sort_keys=True, separators=(",", ":"))
        return hashlib.sha256(text.encode()).hexdigest()

    def __getitem__(self, name: str) -> Step:
        for step in self.steps:
            if step.name == name:
                return step
        raise KeyError(name)


def spell_out(steps: Sequence[StepOptions]) -> tuple[StepOptions, ...]:
    """Fill in the options that follow from other steps of the same pipeline."""
    pixels = min((step.max_pixels for step in steps if isinstance(step, Validate)), default=None)
    decoded_later = any(isinstance(step, Resize | Optimize) for step in steps)

    def filled(options: StepOptions) -> StepOptions:
        if isinstance(options, Validate) and options.decode is None:
            return options.model_copy(update={"decode": not decoded_later})
        if isinstance(options, Resize | Optimize) and options.max_pixels is None:
            return options.model_copy(update={"max_pixels": pixels or MAX_PIXELS})
        return options

    return tuple(filled(options) for options in steps)


#: The pipelines that come with uploadmill. ``[pipelines.NAME]`` in the settings adds more.
SHIPPED: Mapping[str, tuple[StepOptions, ...]] = {
    "photo": (
        Validate(),
        Scan(),
        ExtractMetadata(),
        Resize(large="1920x1440", medium="960x720", thumb="320x240"),
        Optimize(),
    ),
    "avatar": (
        Validate(max_size=20_000_000),
        Scan(),
        Resize(avatar="256x256:crop", small="64x64:crop"),
        Optimize(),
    ),
    "document": (
        Validate(types=("application/pdf", "text/plain"), max_size=1_000_000_000),
        Scan(),
        ExtractMetadata(),
    ),
}
