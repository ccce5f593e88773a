"""Which workers may go on when the faults have stopped."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

import pytest

from chaos.crew import WORKSPACE, Member, place_of


@dataclass
class Process:
    """Stands for a worker."""

    running: bool = True


def member(*, running: bool = True, now: dict[str, str] | None = None, **faults: Any) -> Member:
    began_with = {"CHAOS": json.dumps(faults), WORKSPACE: "/a"}
    return Member(Process(running), now or began_with, 1, began_with)


def test_one_whose_faults_are_used_up_or_meant_to_last_stays():
    assert member(armed={"folder": "/f", "stop_for": 1}, entries="/e", without=["look"]).healthy


@pytest.mark.parametrize("fault", ["publishing", "clock", "ballast"])
def test_one_that_goes_on_misbehaving_does_not(fault):
    assert not member(**{fault: {}}).healthy


def test_one_that_has_ended_does_not():
    assert not member(running=False).healthy


def test_one_whose_successor_would_be_another_does_not():
    assert not member(now={WORKSPACE: "/b"}).healthy


def test_a_successor_is_told_where_to_work_and_not_how_to_fail():
    assert {WORKSPACE: "/a"} == place_of(member(clock=3600).environ)
