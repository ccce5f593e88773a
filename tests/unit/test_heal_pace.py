"""Healing keeps a pace: no more a second than it was told, and no pause where there is time."""

from __future__ import annotations

import io

from uploadmill.backends.ledger.heal_pace import Pace, PacedReader


class Clock:
    """A clock that only sleeping moves."""

    def __init__(self) -> None:
        self.now = 100.0
        self.slept: list[float] = []

    def __call__(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.now += seconds


def test_the_first_is_free_and_the_others_wait_for_those_before_them():
    clock = Clock()
    pace = Pace(10, clock, clock.sleep)
    for _ in range(4):
        pace.spend(1)
    assert [0.1, 0.1, 0.1] == [round(pause, 6) for pause in clock.slept]


def test_time_that_has_passed_is_not_waited_for_again_and_not_saved_up():
    clock = Clock()
    pace = Pace(10, clock, clock.sleep)
    pace.spend(1)
    clock.now += 60
    pace.spend(1)
    pace.spend(1)
    assert [0.1] == [round(pause, 6) for pause in clock.slept]


def test_a_stream_comes_as_fast_as_its_bytes_may():
    clock = Clock()
    reader = PacedReader(io.BytesIO(bytes(5_000)), Pace(1_000, clock, clock.sleep))
    while reader.read(1_000):
        pass
    assert 5.0 == round(clock.now - 100.0, 6)
