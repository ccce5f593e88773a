"""Every scenario by its name, and the controls, which must find something."""

from __future__ import annotations

from chaos.scenario import Scenario
from chaos.scenarios import (
    broken_off,
    collecting,
    controls,
    emptied,
    healing,
    killing,
    messages,
    nodes,
    outages,
    poisoned,
    rabbit,
    redis_faults,
    swapped,
    taking_over,
)

SCENARIOS: dict[str, Scenario] = {
    scenario.name: scenario
    for scenario in (
        killing.KILLS,
        killing.POINTS,
        taking_over.TAKEN_OVER,
        collecting.COLLECTION,
        broken_off.BROKEN_OFF,
        healing.HEALING,
        redis_faults.REDIS,
        emptied.EMPTIED,
        messages.DOUBLED,
        messages.DROPPED,
        rabbit.RABBITMQ,
        outages.STORES,
        outages.SCANNER,
        swapped.SWAPPED,
        nodes.ROLLING,
        nodes.CLOCK,
        poisoned.POISON,
        nodes.DISK_FULL,
        nodes.NODE_LOST,
    )
}

CONTROLS: dict[str, Scenario] = {
    scenario.name: scenario
    for scenario in (
        controls.SWEEPER_OFF,
        controls.OUTCOME_OFF,
        emptied.LOOK_OFF,
        healing.HEAL_OFF,
    )
}
