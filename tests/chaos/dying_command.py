"""``uploadmill recover``, ``heal`` or ``gc`` that dies where a test has armed a job."""

from __future__ import annotations

import json
import os
import sys

from chaos import healing_points, points
from uploadmill.worker.cli import main

options = json.loads(os.environ["CHAOS_ARMED"])
if "gc" in sys.argv:
    points.put_in_collection(options)
elif "heal" in sys.argv:
    healing_points.put_in(options)
else:
    points.put_in(options)
main(sys.argv[1:])
