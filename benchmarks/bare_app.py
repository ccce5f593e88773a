"""Celery with our settings and nothing else of ours: what a task costs at the least.

``celery -A benchmarks.bare_app``. The log is set as ours is, because Celery's own lines for every
task would make the bare one dearer.
"""

from __future__ import annotations

from celery import Celery

from uploadmill.settings import Settings
from uploadmill.worker import logs
from uploadmill.worker.configuration import celery_settings

BARE = "benchmarks.bare"

app = Celery("benchmarks", set_as_current=False, backend="disabled://")
app.conf.update(celery_settings(Settings.load()))
logs.install()


@app.task(name=BARE, ignore_result=True)
def bare(job_id: str) -> None:
    """Nothing."""
