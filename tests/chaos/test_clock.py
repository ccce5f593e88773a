"""A worker whose clock is wrong has the wrong time of day, and no other clock of it is wrong."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from chaos import clock

TESTS = Path(__file__).parents[1]

ASK = """
import json, time
from datetime import UTC, date, datetime
from chaos.app import app
from uploadmill.worker import patience
print(json.dumps({
    "time": time.time(),
    "time_ns": time.time_ns() / 1e9,
    "datetime": datetime.now(UTC).timestamp(),
    "local datetime": datetime.now().timestamp(),
    "utcnow": datetime.utcnow().replace(tzinfo=UTC).timestamp(),
    "in the product": patience.datetime.now(UTC).timestamp(),
    "monotonic": time.monotonic(),
}))
"""

Shift = Callable[[int], tuple[dict[str, str], dict[str, int]]]


def patched(seconds: int) -> tuple[dict[str, str], dict[str, int]]:
    """What is done where there is no libfaketime."""
    return {}, {"clock": seconds}


def clocks_of(shift: Shift, seconds: int) -> dict[str, float]:
    """What a worker's process says, by each of its clocks."""
    environ, faults = shift(seconds)
    own = {"PYTHONPATH": str(TESTS), "CHAOS": json.dumps(faults)}
    kept = {name: value for name, value in os.environ.items() if not name.startswith("COV")}
    told = subprocess.run(
        [sys.executable, "-W", "ignore::DeprecationWarning", "-c", ASK],
        env={**kept, **own, **environ},
        check=True,
        capture_output=True,
    )
    answer: dict[str, Any] = json.loads(told.stdout)
    return answer


@pytest.mark.parametrize("shift", [patched, clock.shifted])
@pytest.mark.parametrize("seconds", [3600, -3600])
def test_the_time_of_day_is_an_hour_off_and_no_other_clock(shift, seconds):
    before, began = time.time(), time.monotonic()
    clocks = clocks_of(shift, seconds)
    after, ended = time.time(), time.monotonic()
    assert began <= clocks.pop("monotonic") <= ended
    assert 6 == len(clocks)
    for name, told in clocks.items():
        assert before <= told - seconds <= after + 0.001, name
