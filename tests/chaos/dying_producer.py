"""A producer that dies where a test has armed its job: ``PATH PIPELINE KEY``."""

from __future__ import annotations

import os
import sys
from pathlib import Path

from chaos import parts, points
from uploadmill import Uploads

options = {"folder": os.environ["CHAOS_ARMED"], "stop_for": 1.0}
points.put_in(options)
parts.put_in(options)
path, pipeline, key = sys.argv[1:]
Uploads().enqueue(Path(path).read_bytes(), pipeline=pipeline, idempotency_key=key)
