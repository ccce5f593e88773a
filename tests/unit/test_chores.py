"""Chores are done when it is time, and one that fails does not hold up the others."""

from __future__ import annotations

from services.waiting import eventually

from uploadmill.errors import LedgerUnavailable
from uploadmill.worker.chores import Chore, Chores


def test_each_is_done_at_once_and_again_whatever_the_others_do():
    done = {"often": 0, "seldom": 0}

    def often() -> None:
        done["often"] += 1

    def seldom() -> None:
        done["seldom"] += 1

    def out() -> None:
        raise LedgerUnavailable("out")

    def broken() -> None:
        raise ZeroDivisionError

    chores = Chores([Chore(0.02, out), Chore(0.02, broken), Chore(0.02, often), Chore(60, seldom)])
    chores.start()
    assert eventually(lambda: done["often"] > 3)
    chores.stop()
    assert not chores.is_alive()
    assert 1 == done["seldom"]
