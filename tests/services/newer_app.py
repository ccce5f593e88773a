"""The faulty application in its next version: it has one more step, ``stamp``."""

from __future__ import annotations

from pathlib import Path

from services.faulty_app import app
from uploadmill.pipeline import StepOptions
from uploadmill.tasks import registry
from uploadmill.tasks.processor import Processor

__all__ = ["app"]


class Stamp(StepOptions):
    step = "stamp"


def stamp(source: Path, target: Path, options: Stamp) -> dict[str, bool]:
    return {"stamped": True}


# As the entry point of an installed package would bring it.
registry.own_processors = lambda: {Stamp.step: Processor(stamp, Stamp)}
