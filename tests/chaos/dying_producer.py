"""A producer that dies where a test has armed its job: ``PATH PIPELINE KEY``."""

from __future__ import annotations

import os
import sys
from pathlib import Path

from chaos import points
from uploadmill import Uploads

points.put_in({"folder": os.environ["CHAOS_ARMED"], "stop_for": 1.0})
path, pipeline, key = sys.argv[1:]
Uploads().enqueue(Path(path).read_bytes(), pipeline=pipeline, idempotency_key=key)
