"""Which steps there are: the builtin ones, and those that installed packages bring."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterable, Mapping
from functools import cache
from importlib.metadata import EntryPoint, entry_points
from typing import Any

from pydantic import ValidationError

from uploadmill.errors import InvalidSettings
from uploadmill.pipeline import (
    Commit,
    ExtractMetadata,
    Optimize,
    Pin,
    Plan,
    Resize,
    Scan,
    Step,
    StepOptions,
    Validate,
)
from uploadmill.settings import Settings
from uploadmill.tasks.base import StepTask
from uploadmill.tasks.extract_metadata import ExtractMetadataTask, extract_metadata_step
from uploadmill.tasks.optimize import OptimizeTask, optimize_step
from uploadmill.tasks.processor import Processor, ProcessorTask
from uploadmill.tasks.resize import ResizeTask, resize_step
from uploadmill.tasks.scan import ScanTask
from uploadmill.tasks.validate import ValidateTask, validate_step
from uploadmill.tasks.work import StepResult, Work

#: The entry point group under which packages register processors.
GROUP = "uploadmill.processors"

#: The options of every builtin step that a pipeline may name. ``pin`` and ``commit`` are not
#: among them: every plan has both.
OPTIONS: Mapping[str, type[StepOptions]] = {
    model.step: model for model in (Validate, Scan, ExtractMetadata, Resize, Optimize)
}

#: The builtin processors, which need nothing but files and options.
PROCESSORS: Mapping[str, Callable[[Work], StepResult]] = {
    Validate.step: validate_step,
    ExtractMetadata.step: extract_metadata_step,
    Resize.step: resize_step,
    Optimize.step: optimize_step,
}


def step_tasks() -> list[StepTask]:
    """A task for every step, for the worker's application to register."""
    from uploadmill.tasks.commit import CommitTask  # noqa: PLC0415 - needs stores, a plan does not
    from uploadmill.tasks.pin import PinTask  # noqa: PLC0415 - the same

    builtin = (PinTask, ValidateTask, ScanTask, ExtractMetadataTask, ResizeTask, OptimizeTask)
    own = [ProcessorTask(step, processor) for step, processor in own_processors().items()]
    return [*(task() for task in (*builtin, CommitTask)), *own]


@cache
def own_processors() -> Mapping[str, Processor[Any]]:
    """The processors of installed packages, by step name; read once per process.

    Raises:
        InvalidSettings: One cannot be loaded, or two have the same name.
    """
    return load_processors(entry_points(group=GROUP))


def load_processors(points: Iterable[EntryPoint]) -> dict[str, Processor[Any]]:
    """Load entry points of the group.

    Raises:
        InvalidSettings: One cannot be loaded, is no processor, or has a name that is taken.
    """
    found: dict[str, Processor[Any]] = {}
    for point in points:
        if point.name in (*OPTIONS, Pin.step, Commit.step, *found):
            raise InvalidSettings(
                f"{_named(point)}: a step is called {point.name!r} already; rename one of the two"
            )
        found[point.name] = _load(point)
    return found


def _load(point: EntryPoint) -> Processor[Any]:
    try:
        processor = point.load()
    except Exception as error:
        raise InvalidSettings(
            f"{_named(point)} cannot be loaded ({type(error).__name__}: {error}); "
            "repair or uninstall its package"
        ) from error
    if not isinstance(processor, Processor):
        raise InvalidSettings(f"{_named(point)} must name an uploadmill.tasks.processor.Processor")
    step = getattr(processor.options, "step", None)
    if step != point.name:
        raise InvalidSettings(
            f"{_named(point)}: its options model has step = {step!r}; make it {point.name!r}"
        )
    return processor


def _named(point: EntryPoint) -> str:
    package = f" of package {point.dist.name}" if point.dist else ""
    return f"the processor {point.name!r} ({point.value}){package}"


def option_models() -> dict[str, type[StepOptions]]:
    """The options model of every step a pipeline may name."""
    own = {step: processor.options for step, processor in own_processors().items()}
    return {**OPTIONS, **own}


def expand(settings: Settings, pipeline: str) -> Plan:
    """Spell out a pipeline: every option checked, every default filled in.

    Without a required scanner the scan step is left out; the result then has no certificate.

    Raises:
        UnknownPipeline: There is none of this name.
        InvalidSettings: With every mistake in its steps.
    """
    models, mistakes = option_models(), list[str]()
    checked = [_checked(step, models, mistakes) for step in settings.steps_of(pipeline)]
    steps = [options for options in checked if options is not None]
    if not settings.scanner.required:
        steps = [options for options in steps if not isinstance(options, Scan)]
    if not mistakes:
        try:
            return Plan.of(pipeline, steps)
        except ValidationError as error:
            mistakes = [item["msg"] for item in error.errors()]
    what = f"pipeline {pipeline!r} has {len(mistakes)} mistake(s)"
    raise InvalidSettings(what, tuple(mistakes))


def _checked(
    step: Step, models: Mapping[str, type[StepOptions]], mistakes: list[str]
) -> StepOptions | None:
    """A step's options as its model has them; None, and its mistakes noted, if it refuses them."""
    model = models.get(step.name)
    if model is None:
        near = difflib.get_close_matches(step.name, models, n=1)
        hint = f"did you mean {near[0]}?" if near else f"there are: {', '.join(models)}"
        mistakes.append(f"no step is called {step.name!r}; {hint}")
        return None
    try:
        return model.model_validate(step.options)
    except ValidationError as error:
        for item in error.errors():
            where = ".".join(str(part) for part in item["loc"])
            mistakes.append(f"{step.name}{'.' if where else ''}{where}: {item['msg']}")
        return None
