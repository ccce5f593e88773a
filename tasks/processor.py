"""Processors of your own: what a package registers, and how it is called for each output."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Generic, TypeVar

from pydantic import JsonValue, TypeAdapter, ValidationError

from uploadmill.errors import StepFailed
from uploadmill.pipeline import StepOptions
from uploadmill.tasks.base import StepTask, options_of, run_processor
from uploadmill.tasks.picture import DECODERS, open_picture
from uploadmill.tasks.validate import media_type
from uploadmill.tasks.work import Produced, StepResult, Work
from uploadmill.wire import task_name

O = TypeVar("O", bound=StepOptions)  # noqa: E741 - the usual letter for options

_FACTS = TypeAdapter(dict[str, JsonValue])


@dataclass(frozen=True, slots=True)
class Processor(Generic[O]):
    """A processor of your own, as an entry point of the group ``uploadmill.processors`` names it.

    Attributes:
        function: Called once for each current output with the file as it is, a path for a new
            one, and the options. It writes the second to replace the file, or leaves it to keep
            the file; what it returns is merged into the result's ``extracted``. It may raise
            :class:`~uploadmill.errors.UploadRejected`; anything else it raises is our fault, and
            the step is tried again.
        options: The model of its options; its ``step`` is the entry point's name.
    """

    function: Callable[[Path, Path, O], Mapping[str, JsonValue] | None]
    options: type[O]


def custom_step(work: Work, processor: Processor[Any]) -> StepResult:
    """Run a processor of somebody's own over every current output."""
    options = options_of(work, processor.options)
    files: dict[str, Produced] = {}
    extracted: dict[str, JsonValue] = {}
    for output, path in work.files.items():
        target = work.target(output)
        facts = run_processor(work.step, processor.function, path, target, options)
        extracted |= _checked(work.step, facts)
        written = target.exists()
        files[output] = (
            run_processor(work.step, _describe, target) if written else work.unchanged(output)
        )
    replaced = sorted(output for output in files if files[output].path != work.files[output])
    changed = f"replaced {', '.join(replaced)}" if replaced else None
    return StepResult(files=files if replaced else None, extracted=extracted, changed=changed)


def _checked(step: str, facts: Any) -> dict[str, JsonValue]:
    """What the processor returned, if it can go into a result."""
    try:
        return _FACTS.validate_python(dict(facts or {}))
    except (ValidationError, TypeError, ValueError) as error:
        raise StepFailed(step, "it returned something that is not a JSON object") from error


def _describe(path: Path) -> Produced:
    """A file that a processor wrote: its type by content, and of a picture its size."""
    content_type = media_type(path)
    if content_type not in DECODERS:
        return Produced(path, content_type)
    with open_picture(path, content_type) as picture:
        return Produced(path, content_type, *picture.size)


class ProcessorTask(StepTask):
    """Celery's side of a processor of somebody's own; one instance for each.

    Args:
        step: The step's name.
        processor: What it runs.
    """

    def __init__(self, step: str, processor: Processor[Any]) -> None:
        self.name = task_name(step)
        self.processor = processor

    def run(self, job_id: str) -> StepResult:
        """Run the processor over every current output."""
        return custom_step(self.work(job_id), self.processor)
