"""Stop without losing time: finish the step that runs, give the job back, leave.

SIGTERM stays Celery's warm shutdown. Its signal sets a flag that the children see at once; a
timer turns it into a cold shutdown when draining takes too long.
"""

from __future__ import annotations

import os
import signal
import threading
from typing import Any

from celery.platforms import EX_FAILURE
from celery.signals import worker_init, worker_shutting_down

from uploadmill.worker.shared import STOPPING

_drain_limit = [60.0]


def install() -> None:
    """Listen to Celery's signals."""
    worker_init.connect(_read_limit, dispatch_uid="uploadmill.drain")
    worker_shutting_down.connect(_stop, dispatch_uid="uploadmill.stop")


def leave(hostname: str) -> None:
    """Stop warmly of our own accord, and end with status 1; for any thread of the main process."""
    # With it comes half of Celery's worker, which a producer's command line does without.
    from celery.worker import state  # noqa: PLC0415

    worker_shutting_down.send(sender=hostname, sig="", how="Warm", exitcode=EX_FAILURE)
    state.should_stop = EX_FAILURE  # type: ignore[assignment]  # said to be None alone


def _read_limit(sender: Any, **_: Any) -> None:
    _drain_limit[0] = sender.app.settings.worker.drain


def _stop(**_: Any) -> None:
    STOPPING.set()
    timer = threading.Timer(_drain_limit[0], os.kill, (os.getpid(), signal.SIGQUIT))
    timer.daemon = True
    timer.start()
