"""One step of a job: run its task through Celery's own tracer, and note what it did."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

from celery.app.trace import trace_task
from celery.exceptions import SoftTimeLimitExceeded

from uploadmill.backends.ledger.record import Note, Record
from uploadmill.errors import StepFailed, UnknownStep, UploadmillError
from uploadmill.job import Receipt
from uploadmill.tasks.work import StepResult
from uploadmill.wire import task_name
from uploadmill.worker.events import StepEvents, step_id

if TYPE_CHECKING:
    from celery import Celery
    from celery.app.task import Context


def trace_step(
    app: Celery, outer: Context, events: StepEvents, job_id: str, step: str
) -> StepResult:
    """Run a step's task, with its hooks, signals and ids.

    Args:
        app: The worker's application.
        outer: The request of the task that runs the job, under which the step is traced.
        events: Who hears that it began, and how it ended.
        job_id: The job.
        step: The step's name.

    Raises:
        UploadmillError: As the step raised it; ``StepFailed`` for anything else.
        SoftTimeLimitExceeded: The time of all steps together is over.
    """
    task = app.tasks.get(task_name(step))
    if task is None:
        raise UnknownStep(step)
    events.started(job_id, step)
    request: dict[str, Any] = {
        "id": step_id(job_id, step),
        "task": task.name,
        "root_id": job_id,
        "parent_id": job_id,
        "hostname": outer.hostname,
        "delivery_info": outer.delivery_info,
        "ignore_result": True,
        "retries": 0,
        # Celery would look for foreign headers among 50 names.
        "headers": {},
    }
    value, info, runtime, _ = trace_task(task, step_id(job_id, step), (job_id,), {}, request)
    if info is None:
        events.succeeded(job_id, step, runtime or 0.0)
        return cast("StepResult", value)
    error = info.retval
    events.failed(job_id, step, getattr(error, "code", type(error).__name__))
    if isinstance(error, UploadmillError | SoftTimeLimitExceeded):
        raise error
    raise StepFailed(step, type(error).__name__) from error


def note_of(record: Record, result: StepResult, seconds: float) -> Note:
    """The receipt of the step that *record* stands at, and what it found out."""
    before = sum(file.size for file in record.current) or record.job.staged.size
    made = result.files
    after = before if made is None else sum(f.path.stat().st_size for f in made.values())
    receipt = Receipt(
        step=record.step,
        ms=round(seconds * 1000, 3),
        bytes_in=before,
        bytes_out=after,
        changed=result.changed,
    )
    return Note(receipt=receipt, extracted=dict(result.extracted), content_type=result.content_type)
