"""The Celery application. Importing it reads no settings: they are read when first needed."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from celery import Task

from uploadmill.errors import InvalidSettings
from uploadmill.wire import PROCESS_TASK
from uploadmill.worker import bootsteps, logs, shutdown
from uploadmill.worker.configuration import celery_settings
from uploadmill.worker.wiring import UploadmillApp

app = UploadmillApp()


@contextmanager
def explained() -> Iterator[None]:
    """End Celery's command with the message about the settings, as our own commands end."""
    try:
        yield
    except InvalidSettings as error:
        sys.exit(f"Error: {error}")


@app.add_defaults
def configuration() -> dict[str, Any]:
    """Celery's configuration, asked for when it is first needed."""
    with explained():
        settings = app.settings
        try:
            return celery_settings(settings)
        except InvalidSettings:
            # The rest of what is wrong would only be found at the next start.
            from uploadmill.worker.usable import insist_usable  # noqa: PLC0415 - imports decoders

            insist_usable(settings)
            raise


# A name and not the class: importing it takes half of Celery's worker along.
REQUEST = "uploadmill.worker.crashes:ReportingRequest"


@app.task(bind=True, name=PROCESS_TASK, ignore_result=True, Request=REQUEST)
def process(self: Task[Any, Any], job_id: str) -> None:
    """Work on one job: the only message there is; lost, late or double ones do no harm."""
    # The loop needs the ledger and the processors; a command like ``celery inspect`` does not.
    from uploadmill.worker.loop import JobRun  # noqa: PLC0415

    JobRun(app, self, job_id).run()


@app.on_after_finalize.connect
def register_steps(sender: UploadmillApp, **_: Any) -> None:
    """Register the step tasks when tasks are first needed: registering one reads the settings."""
    # The registry imports every decoder, which a producer's command line does not have.
    from uploadmill.tasks.registry import step_tasks  # noqa: PLC0415

    with explained():
        for task in step_tasks():
            sender.register_task(task)


bootsteps.install(app)
shutdown.install()
logs.install()
