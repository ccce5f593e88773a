"""A producer that dies where a test has armed its job: ``PATH PIPELINE KEY``."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

from chaos import parts, points
from uploadmill import Uploads

options = json.loads(os.environ["CHAOS_ARMED"])
points.put_in(options)
parts.put_in(options)
path, pipeline, key = sys.argv[1:]
Uploads().enqueue(Path(path).read_bytes(), pipeline=pipeline, idempotency_key=key)
