"""Messages are lost, doubled, shuffled and late: none of them matters."""

from __future__ import annotations

from chaos import publishing
from chaos.ground import Ground
from chaos.scenario import Scenario

DROP = {"drop": 0.3}
DOUBLE = {"copies": 5, "delay": 2.0}


def _publish_badly(ground: Ground, how: dict[str, float]) -> None:
    publishing.put_in(**how)
    try:
        ground.faults["publishing"] = how
        ground.hire_few()
        ground.submit_all(list(ground.corpus.mixed(ground.jobs)))
        ground.book.faults["messages"] = ground.jobs
        ground.pause(4)
    finally:
        publishing.take_out()


def double(ground: Ground) -> None:
    """Each message is sent one to five times, each copy up to two seconds late."""
    _publish_badly(ground, DOUBLE)


def drop(ground: Ground) -> None:
    """Three of ten messages vanish, the producer's and the sweeper's alike."""
    _publish_badly(ground, DROP)


DOUBLED = Scenario("messages_doubled", double, jobs=(1000, 100))
DROPPED = Scenario("messages_dropped", drop, jobs=(1000, 60))
