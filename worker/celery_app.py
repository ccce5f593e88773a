"""The Celery application. Importing it reads no settings: they are read when first needed."""

from __future__ import annotations

from typing import Any

from celery import Task

from uploadmill.tasks.registry import step_tasks
from uploadmill.wire import PROCESS_TASK
from uploadmill.worker import bootsteps, logs, shutdown
from uploadmill.worker.configuration import celery_settings
from uploadmill.worker.wiring import UploadmillApp

app = UploadmillApp()
app.add_defaults(lambda: celery_settings(app.settings))


@app.task(bind=True, name=PROCESS_TASK, ignore_result=True)
def process(self: Task[Any, Any], job_id: str) -> None:
    """Work on one job: the only message there is; lost, late or double ones do no harm."""
    # The loop needs the ledger and the processors; a command like ``celery inspect`` does not.
    from uploadmill.worker.loop import JobRun  # noqa: PLC0415

    JobRun(app, self, job_id).run()


for task in step_tasks():
    app.register_task(task)
bootsteps.install(app)
shutdown.install()
logs.install()
