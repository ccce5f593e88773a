"""Ids, documents, pipelines: what producers and workers agree on."""

from __future__ import annotations

import time
import uuid
from datetime import UTC, datetime

import pytest
from pydantic import ValidationError

import uploadmill
from uploadmill.ids import derived_job_id, is_job_id, new_job_id
from uploadmill.job import JobState, NotScanned, StagedObject, UploadJob
from uploadmill.pipeline import SHIPPED, Box, Optimize, Plan, Resize, Step, Validate
from uploadmill.wire import producer_options, worker_options


def job(**changes: object) -> UploadJob:
    given = {
        "id": new_job_id(),
        "pipeline": "photo",
        "staged": StagedObject(key="uploads/a/b", size=3),
        "enqueued_at": datetime.now(UTC),
    }
    return UploadJob.model_validate({**given, **changes})


def test_a_new_id_is_a_uuid7_of_this_moment():
    before = time.time_ns() // 1_000_000
    value = uuid.UUID(new_job_id())
    assert 7 == value.version
    assert uuid.RFC_4122 == value.variant
    assert 0 <= (value.int >> 80) - before < 1000


def test_ids_are_unlike_and_sort_by_time():
    first = [new_job_id() for _ in range(1000)]
    time.sleep(0.002)
    assert 1000 == len(set(first))
    assert max(first) < new_job_id()


def test_a_derived_id_depends_on_every_part_and_where_it_ends():
    ids = [derived_job_id(*parts) for parts in [("a", "b"), ("ab", ""), ("", "ab"), ("a", "c")]]
    assert 4 == len(set(ids))
    assert ids[0] == derived_job_id("a", "b")
    assert 8 == uuid.UUID(ids[0]).version
    assert is_job_id(ids[0])


@pytest.mark.parametrize(
    "text",
    ["", "x", "../../etc", new_job_id().upper(), f"{{{new_job_id()}}}", str(uuid.uuid4())],
)
def test_what_is_no_canonical_id_is_none(text):
    assert not is_job_id(text)


def test_a_job_survives_json():
    one = job(filename="Zürich.jpg", metadata={"a": "b"}, owner="7")
    assert one == UploadJob.model_validate_json(one.model_dump_json())


@pytest.mark.parametrize(
    "changes",
    [
        {"colour": "red"},
        {"version": 2},
        {"id": "7"},
        {"pipeline": "../photo"},
        {"staged": {"key": "a", "size": -1}},
        {"staged": {"key": "a", "size": 1, "sha256": "abc"}},
        {"deadline": 0},
        {"metadata": {"a": 1}},
    ],
    ids=str,
)
def test_a_job_with_a_mistake_is_refused(changes):
    with pytest.raises(ValidationError):
        job(**changes)


def test_states_are_open_or_final():
    still_open = {state for state in JobState if not state.ended}
    assert still_open == {JobState.ACCEPTED, JobState.RUNNING}


def test_only_reasons_in_the_file_itself_are_permanent():
    permanent = {reason.value for reason in NotScanned if reason.permanent}
    assert permanent == {"limit_exceeded", "encrypted", "scan_refused"}


@pytest.mark.parametrize(
    ("text", "box"),
    [
        ("1920x1080", Box(width=1920, height=1080)),
        ("256x256:crop", Box(width=256, height=256, crop=True)),
    ],
)
def test_a_box_reads_as_it_is_written(text, box):
    assert {"a": box} == Resize(a=text).boxes
    assert text == str(box)


@pytest.mark.parametrize("text", ["1920", "0x5", "axb", "-1x5", "99999999x5", "10x10:fill", " 1x1"])
def test_what_is_no_box_is_refused(text):
    with pytest.raises(ValidationError):
        Resize(a=text)


def test_a_resize_without_boxes_is_refused():
    with pytest.raises(ValidationError):
        Resize()


def test_every_shipped_plan_begins_with_pin_ends_with_commit_and_scans():
    for name, steps in SHIPPED.items():
        plan = Plan.of(name, steps)
        assert ("pin", "commit") == (plan.names[0], plan.names[-1])
        assert plan.scans
        assert plan == Plan.model_validate_json(plan.model_dump_json())


def test_pin_stops_at_the_size_that_validate_allows():
    assert 1000 == Plan.of("a", (Validate(max_size=1000),))["pin"].options["max_size"]


def test_a_step_stands_once_in_a_plan():
    with pytest.raises(ValidationError, match="twice"):
        Plan.of("a", (Optimize(), Optimize(quality=50)))


def test_plans_are_equal_by_digest_and_only_then():
    one, other = (Plan.of("a", (Optimize(quality=quality),)) for quality in (50, 51))
    assert one.digest == Plan.of("a", (Optimize(quality=50),)).digest != other.digest


def test_a_step_reads_as_people_write_it():
    written = Step.model_validate({"step": "optimize", "quality": 50})
    assert Step(name="optimize", options={"quality": 50}) == written
    assert Step(name="scan") == Step.model_validate("scan")


def test_the_facade_names_what_there_is():
    assert "Uploads" in dir(uploadmill)
    assert all(getattr(uploadmill, name) for name in uploadmill.__all__)
    with pytest.raises(AttributeError, match="Uplaods"):
        _ = uploadmill.Uplaods


def test_broker_options_fit_the_broker():
    assert 1.0 == producer_options("redis://a")["socket_timeout"]
    assert producer_options("amqp://a")["confirm_publish"]
    assert 7.0 == worker_options("rediss://a", 7.0)["visibility_timeout"]
    assert "visibility_timeout" not in worker_options("amqp://a", 7.0)
