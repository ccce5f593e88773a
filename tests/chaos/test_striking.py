"""A fault that its job can no longer come to is tried on another one; one it may, is waited for."""

from __future__ import annotations

import time
from types import SimpleNamespace
from typing import Any

import pytest

from chaos.armed import Armed
from chaos.scenarios import striking
from chaos.scenarios.striking import OVER_AFTER, wait_until_struck
from chaos.world import World

LEASE = 2.0
FAULT = "finish.after kill_child"


@pytest.fixture
def armed(tmp_path):
    return Armed(tmp_path / "armed", 0.0)


@pytest.fixture
def ground(ended: World, monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.setattr(striking, "STRUCK_WITHIN", (0.3, 0.3))
    return SimpleNamespace(
        book=ended.book,
        shelves=ended.places.shelves,
        short=True,
        lease=LEASE,
        pause=time.sleep,
    )


def tried_again(ground: Any, armed: Armed, job_id: str, since: float | None) -> list[str]:
    """Which faults another job is armed with, of one whose end was seen so long ago."""
    armed.arm(job_id, FAULT)
    ground.book.entries[job_id].ended = None if since is None else time.monotonic() - since
    again: list[str] = []
    wait_until_struck(ground, armed, again=again.append)
    return again


def test_a_fault_is_tried_on_another_job_when_the_first_is_over(ended, ground, armed):
    assert [FAULT] == tried_again(ground, armed, ended.stored.id, OVER_AFTER * LEASE + 1)
    assert {} == armed.left
    assert {} == ended.book.wrong


def test_one_that_has_just_ended_may_come_to_it_yet(ended, ground, armed):
    assert [] == tried_again(ground, armed, ended.stored.id, 1)
    assert {FAULT: f"never reached by {ended.stored.id}"} == ended.book.wrong


def test_one_that_is_open_or_not_cleared_away_may_too(ended, ground, armed):
    assert [] == tried_again(ground, armed, ended.stored.id, None)
    ended.put(f"staging/envelopes/{ended.rejected.id}.json")
    assert [] == tried_again(ground, armed, ended.rejected.id, 1000)
