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
    rolling,
    swapped,
    taking_over,
)

#: Those that wait longest come first, so that the others fill the time.
SCENARIOS: dict[str, Scenario] = {
    scenario.name: scenario
    for scenario in (
        rabbit.RABBITMQ,
        killing.POINTS,
        killing.KILLS,
        redis_faults.REDIS,
        poisoned.POISON,
        nodes.DISK_FULL,
        rolling.ROLLING,
        collecting.COLLECTION,
        broken_off.BROKEN_OFF,
        swapped.SWAPPED,
        outages.STORES,
        outages.SCANNER,
        nodes.CLOCK,
        messages.DROPPED,
        messages.DOUBLED,
        nodes.NODE_LOST,
        emptied.EMPTIED,
        healing.HEALING,
        taking_over.TAKEN_OVER,
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
