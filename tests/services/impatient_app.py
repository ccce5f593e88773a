"""The application of crash tests, with a hard time limit of seconds: ours is half an hour."""

from __future__ import annotations

import os

from services.hasty_app import app
from uploadmill.wire import PROCESS_TASK

__all__ = ["app"]

app.tasks[PROCESS_TASK].time_limit = float(os.environ["HARD_LIMIT"])
