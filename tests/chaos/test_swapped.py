"""What became of swapped bytes is told from what became of the scanned ones."""

from __future__ import annotations

from typing import Any

from chaos.corpus import Upload
from chaos.scenarios.swapped import what_is_wrong
from chaos.world import World
from uploadmill.job import ErrorData, Outcome, UploadJob


def outcome_of(world: World, job: UploadJob, **changed: Any) -> Outcome:
    """How a job of the world ended, with other values in its result."""
    outcome = Outcome.model_validate_json(world.outcome(job).read_bytes())
    result = outcome.result.model_copy(update=changed)
    return outcome.model_copy(update={"result": result})


def upload_of(world: World, job: UploadJob) -> Upload:
    return world.book.entries[job.id].upload


def rejected_with(world: World, code: str) -> str:
    error = ErrorData(code=code, message="the content is at fault", retryable=False)
    outcome = outcome_of(world, world.rejected, error=error)
    return what_is_wrong(outcome, upload_of(world, world.rejected))


def stored_as(world: World, width: int, height: int) -> str:
    """A picture's output has this size."""
    output = outcome_of(world, world.stored).result.outputs["original"]
    size = {"width": width, "height": height}
    outcome = outcome_of(world, world.stored, outputs={"thumb": output.model_copy(update=size)})
    return what_is_wrong(outcome, upload_of(world, world.stored))


def test_a_job_may_store_the_bytes_it_was_enqueued_with(ended):
    assert not what_is_wrong(outcome_of(ended, ended.stored), upload_of(ended, ended.stored))


def test_other_bytes_than_the_certificate_says_are_wrong(ended):
    other = upload_of(ended, ended.failed_over)
    assert what_is_wrong(outcome_of(ended, ended.stored), other)
    assert what_is_wrong(outcome_of(ended, ended.stored, certificate=None), other)


def test_a_picture_made_of_the_bytes_that_were_swapped_in_is_wrong(ended):
    assert not stored_as(ended, 16, 12)
    assert stored_as(ended, 12, 16)


def test_a_changed_source_is_no_fault_of_the_content(ended):
    assert not rejected_with(ended, "source_changed")
    assert rejected_with(ended, "corrupt_upload")
