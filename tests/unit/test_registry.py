"""Which steps there are, how a plan is spelled out, and what a bad processor is told."""

from __future__ import annotations

from importlib.metadata import EntryPoint

import pytest
from celery import Celery
from celery.app.trace import build_tracer

from uploadmill.errors import InvalidSettings, UnknownPipeline
from uploadmill.pipeline import SHIPPED, StepOptions
from uploadmill.settings import Settings
from uploadmill.tasks import registry
from uploadmill.tasks.processor import Processor, ProcessorTask
from uploadmill.tasks.registry import expand, load_processors, step_tasks
from uploadmill.tasks.work import StepResult


class Stamp(StepOptions):
    step = "stamp"
    text: str


class Crop(StepOptions):
    step = "resize"


def stamp(source, target, options):
    return {"stamped": options.text}


stamper = Processor(stamp, Stamp)
thief = Processor(stamp, Crop)
nothing = object()


def entry(name: str, value: str) -> EntryPoint:
    return EntryPoint(name, f"{__name__}:{value}" if ":" not in value else value, registry.GROUP)


@pytest.fixture
def own(monkeypatch):
    """Makes this process find the entry points given, as if packages had brought them."""
    monkeypatch.setattr(
        EntryPoint, "load", lambda point: globals()[point.attr] if point.attr else None
    )

    def install(*points: EntryPoint) -> None:
        monkeypatch.setattr(registry, "entry_points", lambda **_: points)
        registry.own_processors.cache_clear()

    yield install
    registry.own_processors.cache_clear()


def settings(*steps: object, **more: object) -> Settings:
    return Settings.model_validate({"pipelines": {"mine": {"steps": steps}}, **more})


@pytest.mark.parametrize("name", SHIPPED)
def test_the_pipelines_that_come_with_it_can_be_spelled_out(name):
    plan = expand(Settings(), name)

    assert ("pin", *[step.step for step in SHIPPED[name]], "commit") == plan.names
    assert all(step.options["time_limit"] for step in plan.steps)


def test_defaults_are_filled_in_and_limits_handed_on():
    plan = expand(
        settings(
            {"step": "validate", "max_pixels": 1000, "max_size": 5000},
            {"step": "resize", "small": "10x10"},
            "optimize",
        ),
        "mine",
    )

    assert 5000 == plan["pin"].options["max_size"]
    assert 1000 == plan["resize"].options["max_pixels"]
    assert {"small": "10x10"} == plan["resize"].options["boxes"]
    assert 85 == plan["optimize"].options["quality"]
    assert not plan["validate"].options["decode"]


def test_a_plan_spelled_out_twice_is_the_same():
    assert expand(Settings(), "photo").digest == expand(Settings(), "photo").digest


def test_all_mistakes_are_named_at_once():
    wrong = settings(
        "sacn",
        "polish",
        {"step": "optimize", "quality": 300},
        {"step": "resize", "small": "tiny"},
        {"step": "validate", "types": ["image/gif"]},
    )

    with pytest.raises(InvalidSettings) as caught:
        expand(wrong, "mine")

    told = str(caught.value)
    assert "has 5 mistake(s)" in told
    assert "no step is called 'sacn'; did you mean scan?" in told
    assert "no step is called 'polish'; there are: validate, scan" in told
    assert "optimize.quality: " in told
    assert "'tiny' is not a box" in told
    assert "'image/png'" in told


def test_a_step_may_stand_once():
    with pytest.raises(InvalidSettings, match="once in a pipeline"):
        expand(settings("scan", "scan"), "mine")


def test_pin_and_commit_are_not_for_pipelines_to_name():
    with pytest.raises(InvalidSettings, match="no step is called 'commit'"):
        expand(settings("scan", "commit"), "mine")


def test_an_unknown_pipeline_is_answered_with_those_there_are():
    with pytest.raises(UnknownPipeline, match="avatar, document, photo"):
        expand(Settings(), "video")


def test_without_a_required_scanner_nothing_is_scanned():
    plan = expand(Settings.model_validate({"scanner": {"required": False}}), "photo")

    assert not plan.scans


def test_a_processor_of_a_package_is_a_step_with_checked_options(own):
    own(entry("stamp", "stamper"))

    plan = expand(settings("validate", {"step": "stamp", "text": "hello"}), "mine")

    assert "hello" == plan["stamp"].options["text"]
    with pytest.raises(InvalidSettings, match=r"stamp\.text: Field required"):
        expand(settings("stamp"), "mine")


@pytest.mark.parametrize(
    ("points", "told"),
    [
        ([("scan", "stamper")], "a step is called 'scan' already"),
        ([("pin", "stamper")], "a step is called 'pin' already"),
        ([("stamp", "stamper"), ("stamp", "stamper")], "a step is called 'stamp' already"),
        ([("stamp", "nothing")], "must name an uploadmill.tasks.processor.Processor"),
        ([("other", "stamper")], "its options model has step = 'stamp'; make it 'other'"),
        ([("stamp", "absent")], r"cannot be loaded \(KeyError: 'absent'\); repair or uninstall"),
    ],
)
def test_a_bad_processor_is_named(own, points, told):
    with pytest.raises(InvalidSettings, match=told):
        load_processors([entry(*point) for point in points])


def test_a_processor_whose_module_is_gone_is_named():
    point = EntryPoint("stamp", "no_such_module_anywhere:processor", registry.GROUP)

    with pytest.raises(InvalidSettings, match=r"'stamp' \(no_such_module_anywhere:processor\)"):
        load_processors([point])


def test_there_is_a_task_for_every_step(own):
    own(entry("stamp", "stamper"))

    names = [task.name for task in step_tasks()]

    steps = "pin validate scan extract_metadata resize optimize commit stamp"
    assert [f"uploadmill.{step}" for step in steps.split()] == names


def test_two_processors_are_two_tasks_of_an_application():
    app = Celery("test", set_as_current=False)
    first = app.register_task(ProcessorTask("stamp", stamper))
    second = app.register_task(ProcessorTask("other", thief))

    assert (first, second) == (app.tasks["uploadmill.stamp"], app.tasks["uploadmill.other"])
    assert (stamper, thief) == (first.processor, second.processor)
    assert build_tracer(first.name, first, app=app)


def test_tasks_are_called_with_the_job_id_alone():
    for task in step_tasks():
        assert ("self", "job_id") == task.__class__.run.__code__.co_varnames[:2]
        assert 2 == task.__class__.run.__code__.co_argcount
        assert StepResult.__name__ in str(task.__class__.run.__annotations__["return"])
