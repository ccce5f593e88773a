"""Tell Flower about each step: through one buffered dispatcher per process.

A step's task id is ``<job id>.<step>``, the same in every run, so a later run closes the rows
that a killed one left open. Arguments show the job id and nothing else.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from typing import Any, Protocol

from celery import Celery
from celery.events import EventDispatcher

from uploadmill.wire import PRODUCER_TIMEOUT, producer_options, task_name

log = logging.getLogger("uploadmill.events")

#: Seconds after which buffered events are sent even in mid-job, or in mid-step.
FLUSH_AFTER = 0.5

#: Events that are sent at once, or lost where the broker does not take them.
BUFFER = 1000


def step_id(job_id: str, step: str) -> str:
    """The task id of a step: the same in every run of the job."""
    return f"{job_id}.{step}"


class StepEvents(Protocol):
    """What the loop reports; a worker without ``-E`` reports to nobody."""

    def started(self, job_id: str, step: str) -> None:
        """A step begins."""

    def succeeded(self, job_id: str, step: str, seconds: float) -> None:
        """A step is done."""

    def failed(self, job_id: str, step: str, code: str) -> None:
        """A step raised."""

    def was_done(self, job_id: str, step: str, seconds: float) -> None:
        """A step was done by an earlier run, whose events may be lost."""

    def was_given_up(self, job_id: str, step: str, code: str) -> None:
        """A step that an earlier run may have begun will not be run again."""

    def flush(self) -> None:
        """Send what is buffered."""


class NoEvents:
    """Reports nothing."""

    def started(self, job_id: str, step: str) -> None:
        """Nothing."""

    def succeeded(self, job_id: str, step: str, seconds: float) -> None:
        """Nothing."""

    def failed(self, job_id: str, step: str, code: str) -> None:
        """Nothing."""

    def was_done(self, job_id: str, step: str, seconds: float) -> None:
        """Nothing."""

    def was_given_up(self, job_id: str, step: str, code: str) -> None:
        """Nothing."""

    def flush(self) -> None:
        """Nothing."""


class BufferedEvents:
    """Sends Celery task events under the worker's own node name.

    Args:
        app: Whose broker the events go to.
        hostname: The worker's full node name; any other makes Flower invent a worker.
    """

    def __init__(self, app: Celery, hostname: str) -> None:
        url = str(app.conf.broker_write_url)
        self._dispatcher = EventDispatcher(
            # As impatient as a producer: a job's end must not wait for a broker that is out.
            app.connection_for_write(
                url, connect_timeout=PRODUCER_TIMEOUT, transport_options=producer_options(url)
            ),
            app=app,
            hostname=hostname,
            buffer_group=["task"],
            buffer_limit=BUFFER,
        )
        # The loop sends what there is when a job ends; this thread, while a step takes long.
        threading.Thread(target=self._keep_flushing, name="events", daemon=True).start()

    def started(self, job_id: str, step: str) -> None:
        """A step begins."""
        self._received(job_id, step)
        self._send("task-started", job_id, step)

    def succeeded(self, job_id: str, step: str, seconds: float) -> None:
        """A step is done."""
        self._send("task-succeeded", job_id, step, result="None", runtime=seconds)

    def failed(self, job_id: str, step: str, code: str) -> None:
        """A step raised."""
        self._send("task-failed", job_id, step, exception=code, traceback="")

    def was_done(self, job_id: str, step: str, seconds: float) -> None:
        """A step was done by an earlier run: close its row, or make it."""
        self._received(job_id, step)
        self.succeeded(job_id, step, seconds)

    def was_given_up(self, job_id: str, step: str, code: str) -> None:
        """A step that an earlier run may have begun will not be run again."""
        self._received(job_id, step)
        self.failed(job_id, step, code)

    def flush(self) -> None:
        """Send what is buffered; a broker that is out costs rows in Flower, never a job."""
        self._attempt(self._dispatcher.flush)

    def _keep_flushing(self) -> None:
        while True:
            time.sleep(FLUSH_AFTER)
            self.flush()

    def _received(self, job_id: str, step: str) -> None:
        self._send(
            "task-received",
            job_id,
            step,
            name=task_name(step),
            args=f"('{job_id}',)",
            kwargs="{}",
            root_id=job_id,
            parent_id=job_id,
            retries=0,
        )

    def _send(self, kind: str, job_id: str, step: str, **fields: Any) -> None:
        self._attempt(self._dispatcher.send, kind, uuid=step_id(job_id, step), **fields)

    def _attempt(self, call: Callable[..., object], *args: Any, **fields: Any) -> None:
        """Do it; what cannot be sent waits, until it is too much and is lost."""
        try:
            call(*args, **fields)
        except Exception as error:  # noqa: BLE001 - whatever it is, the job goes on
            log.warning("events_not_sent", extra={"reason": type(error).__name__})
            waiting = self._dispatcher._group_buffer["task"]  # type: ignore[attr-defined]  # noqa: SLF001 - no other way
            if len(waiting) >= BUFFER:
                waiting.clear()
