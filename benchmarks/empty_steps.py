"""What seven steps that do nothing cost, against one bare Celery task."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, closing
from datetime import UTC, datetime
from pathlib import Path
from typing import cast

from celery import Celery

from benchmarks.report import Figure, ratio
from benchmarks.workers import UPLOADS, measured_worker
from uploadmill.backends.ledger.ledger import Ledger
from uploadmill.backends.ledger.record import Ended
from uploadmill.ids import new_job_id
from uploadmill.job import JobState, StagedObject, UploadJob
from uploadmill.wire import PROCESS_TASK
from uploadmill.worker.embedded.environment import Environment, embedded_environment

APP = "benchmarks.empty_app"
BARE_APP = "benchmarks.bare_app"

#: The task of the latter.
BARE = "benchmarks.bare"

AIM = 2.5
AIM_WITH_EVENTS = 3.0

#: Linux' own file system in memory.
SHARED_MEMORY = Path("/dev/shm")  # noqa: S108


def measure(folder: Path, pairs: int, jobs: int) -> Iterator[Figure]:
    """The ratio of CPU per job, without and with Celery's events."""
    with tempfile.TemporaryDirectory(dir=memory_folder(folder)) as workspace:
        overrides = {
            "UPLOADMILL_SCANNER__REQUIRED": "true",  # the plan is to have its scan step
            "UPLOADMILL_WORKER__WORKSPACE": workspace,
        }
        with embedded_environment(folder, scan=False, overrides=overrides) as environment:
            yield _measure(environment, "empty_steps_ratio", AIM, pairs, jobs, events=False)
            name = "empty_steps_ratio_events"
            yield _measure(environment, name, AIM_WITH_EVENTS, pairs, jobs, events=True)


def memory_folder(folder: Path) -> Path:
    """Memory to write to, so that no disk is measured; *folder* where there is none."""
    return SHARED_MEMORY if SHARED_MEMORY.is_dir() else folder


def _measure(
    environment: Environment, name: str, aim: float, pairs: int, jobs: int, *, events: bool
) -> Figure:
    settings = environment.settings
    # A broker of its own, or one worker would take the other's messages.
    bare_broker = settings.redis_url.removesuffix("/0") + "/1"
    with ExitStack() as stack:
        ledger = stack.enter_context(closing(Ledger(settings.redis_url, settings.ledger)))
        bare_worker, worker = (
            stack.enter_context(
                measured_worker(environment, events=events, app=app, broker_url=url)
            )
            for app, url in ((BARE_APP, bare_broker), (APP, settings.broker_url))
        )
        bare_sender, sender = (
            stack.enter_context(closing(Celery("benchmarks", broker=url, set_as_current=False)))
            for url in (bare_broker, settings.broker_url)
        )

        def bare() -> None:
            for job_id in ids:
                bare_sender.send_task(BARE, [job_id], task_id=job_id, queue=cast("str", UPLOADS))

        def seven() -> None:
            for job_id in ids:
                ledger.accept(new_job(job_id), "0" * 64)
                sender.send_task(PROCESS_TASK, [job_id], task_id=job_id, queue=cast("str", UPLOADS))

        ours, plain = [], []
        for _ in range(pairs + 1):
            ids = [new_job_id() for _ in range(jobs)]
            plain.append(bare_worker.cpu_of(bare) / jobs * 1000)
            ours.append(worker.cpu_of(seven) / jobs * 1000)
            _assert_stored(ledger, ids)
    # The first pair warms up: imports, connections, scripts.
    return ratio(name, aim, ours[1:], plain[1:], "ms a job")


def new_job(job_id: str) -> UploadJob:
    return UploadJob(
        id=job_id,
        pipeline="photo",
        staged=StagedObject(key=f"uploads/{job_id}/0", size=1),
        enqueued_at=datetime.now(UTC),
    )


def _assert_stored(ledger: Ledger, ids: list[str]) -> None:
    """A job that did not go through all its steps would be cheap."""
    for job_id in ids:
        record = ledger.read(job_id)
        assert isinstance(record, Ended)
        assert record.state is JobState.STORED
        assert len(record.outcome.result.receipts) == 7
