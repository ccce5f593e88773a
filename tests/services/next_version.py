"""The product's next version: one more step, ``stamp``, and the next version of the record."""

from __future__ import annotations

from pathlib import Path

from uploadmill.backends.ledger import ledger
from uploadmill.backends.ledger.record import RECORD_VERSION
from uploadmill.pipeline import StepOptions
from uploadmill.tasks import registry
from uploadmill.tasks.processor import Processor

#: Of the records that it makes; it also reads those of the present version.
NEXT_RECORD = RECORD_VERSION + 1


class Stamp(StepOptions):
    step = "stamp"


def stamp(source: Path, target: Path, options: Stamp) -> dict[str, bool]:
    return {"stamped": True}


def put_in() -> None:
    """Make this process, and all its children, one of the next version."""
    ledger.RECORD_VERSION = NEXT_RECORD
    # As the entry point of an installed package would bring it.
    registry.own_processors = lambda: {Stamp.step: Processor(stamp, Stamp)}
