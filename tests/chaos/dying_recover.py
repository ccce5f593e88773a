"""``uploadmill recover`` that dies where a test has armed a job."""

from __future__ import annotations

import os

from chaos import points
from uploadmill.worker.cli import main

points.put_in({"folder": os.environ["CHAOS_ARMED"], "stop_for": 1.0})
main(["recover"])
