"""When a campaign fails: something was lost, doubled or wrong, or a control found nothing."""

from __future__ import annotations

import json

import pytest

from chaos import playing
from chaos.__main__ import FINDS, as_it_must_be, campaign, every, summary
from chaos.plain.measuring import NAME as PLAIN
from chaos.scenarios import CONTROLS, SCENARIOS


def row(**found: int) -> dict[str, object]:
    return {
        "jobs": 7,
        "faults": {"kill": 2, "stop": 1},
        "lost": 0,
        "doubled": 0,
        "wrong": 0,
        "cpu": 2.5,
        "ended": True,
        "violations": [f"{kind}: secondary: of it" for kind in found for _ in range(found[kind])],
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
        "cpu": 15.0,
    } == summary(ALL_RIGHT)


@pytest.mark.parametrize("kind", ["lost", "doubled", "wrong"])
def test_anything_found_in_a_scenario_fails_the_campaign(kind):
    assert not as_it_must_be({**ALL_RIGHT, "kills": row(**{kind: 1})})


@pytest.mark.parametrize("name", CONTROLS)
def test_a_control_that_finds_nothing_fails_the_campaign(name):
    assert not as_it_must_be({**ALL_RIGHT, name: row()})


@pytest.mark.parametrize("name", CONTROLS)
def test_a_control_that_finds_something_else_fails_the_campaign(name):
    other = row() | {"lost": 1, "doubled": 1, "wrong": 1, "violations": ["wrong: watcher: broke"]}
    assert not as_it_must_be({**ALL_RIGHT, name: other})


@pytest.mark.parametrize("name", CONTROLS)
def test_a_control_that_breaks_on_its_way_fails_the_campaign(name):
    kind = FINDS[name].partition(":")[0]
    assert as_it_must_be({**ALL_RIGHT, name: row(**{kind: 1})})
    assert not as_it_must_be({**ALL_RIGHT, name: row(**{kind: 1}) | {"ended": False}})


@pytest.mark.parametrize("name", [*CONTROLS, "kills"])
def test_who_dies_before_it_begins_fails_the_campaign(tmp_path, monkeypatch, name):
    monkeypatch.setattr(playing, "run", lambda *_, **__: 1 / 0)
    rows = campaign([name], tmp_path, seed=1, short=True, at_once=1)
    assert "the scenario itself broke with 1" in rows[name]["violations"][0]
    assert as_it_must_be(ALL_RIGHT)
    assert not as_it_must_be({**ALL_RIGHT, **rows})
    assert json.dumps(summary(rows))


def test_what_celery_alone_loses_decides_nothing():
    assert as_it_must_be({**ALL_RIGHT, PLAIN: row()})


def test_celery_alone_is_measured_in_the_long_form_only():
    assert [*SCENARIOS, *CONTROLS] == every(short=True)
    assert [*SCENARIOS, *CONTROLS, PLAIN] == every(short=False)
