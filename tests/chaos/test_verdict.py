"""When a campaign fails: something was lost, doubled or wrong, or a control found nothing."""

from __future__ import annotations

import pytest

from chaos.__main__ import as_it_must_be, every, summary
from chaos.plain.measuring import NAME as PLAIN
from chaos.scenarios import CONTROLS, SCENARIOS


def row(**found: int) -> dict[str, object]:
    return {
        "jobs": 7,
        "faults": {"kill": 2, "stop": 1},
        "lost": 0,
        "doubled": 0,
        "wrong": 0,
    } | found


ALL_RIGHT = {
    "kills": row(),
    "sweeper_off": row(lost=4),
    "outcome_off": row(doubled=2),
    "look_off": row(doubled=6),
    "heal_off": row(wrong=1),
    PLAIN: row(lost=4, doubled=9),
}


def test_nothing_found_but_by_the_controls_is_as_it_must_be():
    assert as_it_must_be(ALL_RIGHT)
    assert {
        "scenarios": {"kills": {"jobs": 7, "faults": 3, "lost": 0, "doubled": 0, "wrong": 0}},
        "controls": {
            "sweeper_off": {"lost": 4},
            "outcome_off": {"doubled": 2},
            "look_off": {"doubled": 6},
            "heal_off": {"wrong": 1},
        },
        "compared": {PLAIN: {"jobs": 7, "lost": 4, "doubled": 9}},
    } == summary(ALL_RIGHT)


@pytest.mark.parametrize("kind", ["lost", "doubled", "wrong"])
def test_anything_found_in_a_scenario_fails_the_campaign(kind):
    assert not as_it_must_be({**ALL_RIGHT, "kills": row(**{kind: 1})})


@pytest.mark.parametrize("name", CONTROLS)
def test_a_control_that_finds_nothing_fails_the_campaign(name):
    assert not as_it_must_be({**ALL_RIGHT, name: row()})


def test_what_celery_alone_loses_decides_nothing():
    assert as_it_must_be({**ALL_RIGHT, PLAIN: row()})


def test_celery_alone_is_measured_in_the_long_form_only():
    assert [*SCENARIOS, *CONTROLS] == every(short=True)
    assert [*SCENARIOS, *CONTROLS, PLAIN] == every(short=False)
