"""The lease keeper, against a ledger that answers as it is told."""

from __future__ import annotations

import math
import threading
import time

import pytest
from services.waiting import eventually

from uploadmill.backends.ledger.answers import Answer
from uploadmill.errors import LedgerUnavailable
from uploadmill.settings import LedgerSettings
from uploadmill.worker.lease import EXIT_STEP_TIMEOUT, LeaseKeeper


class ToldLedger:
    """Answers ``renew`` as told and remembers what it was asked."""

    def __init__(self, lease: float = 0.3) -> None:
        self.constants = LedgerSettings(lease=lease)
        self.answer: Answer | Exception = Answer("ok")
        self.renewals = 0
        self.released: list[dict[str, object]] = []
        self.renewed = threading.Event()

    def renew(self, _job_id: str, _token: str) -> Answer:
        self.renewals += 1
        self.renewed.set()
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer

    def release(self, job_id: str, token: str, **options: object) -> Answer:
        self.released.append({"job": job_id, "token": token, **options})
        return Answer("ok")


@pytest.fixture
def ledger() -> ToldLedger:
    return ToldLedger()


def asleep(keeper: LeaseKeeper) -> bool:
    """Whether its thread will not look again by itself."""
    return math.inf == keeper._wakes


def test_a_held_lease_is_renewed_until_it_is_dropped(ledger):
    keeper = LeaseKeeper(ledger)
    keeper.hold("job", "1:a", "scan", limit=60)
    assert eventually(lambda: ledger.renewals >= 2)
    keeper.drop()
    assert eventually(lambda: asleep(keeper))


def test_a_lease_that_is_held_again_and_again_is_renewed_all_the_same():
    ledger = ToldLedger(lease=3.0)
    keeper = LeaseKeeper(ledger)

    def renewed() -> bool:
        # As a run does: its workspace, the step, quarantine; each before a third is over.
        keeper.hold("job", "1:a", "scan", limit=60)
        return ledger.renewals > 0

    assert eventually(renewed, seconds=30)
    keeper.drop()


def test_a_lease_that_was_refused_is_not_renewed_because_it_is_held_again(ledger):
    ledger.answer = Answer("fenced")
    ended: list[int] = []
    keeper = LeaseKeeper(ledger, end=ended.append)
    keeper.hold("job", "1:a", "scan", limit=60)
    assert eventually(lambda: keeper._held.lost)
    # Its keeper looks on, for the limit: several times in what it has left.
    keeper.hold("job", "1:a", "scan", limit=0.5)
    assert eventually(lambda: ended != [])
    assert 1 == ledger.renewals


def test_a_refused_lease_is_not_renewed_again(ledger):
    ledger.answer = Answer("fenced")
    ended: list[int] = []
    keeper = LeaseKeeper(ledger, end=ended.append)
    # Its keeper looks on, for the step's limit: several times in what it has left.
    keeper.hold("job", "1:a", "scan", limit=0.5)
    assert eventually(lambda: ended != [])
    assert 1 == ledger.renewals


def test_without_an_answer_a_lease_is_renewed_as_soon_as_there_is_one(ledger):
    ledger.answer = LedgerUnavailable("no answer")
    keeper = LeaseKeeper(ledger)
    keeper.hold("job", "1:a", "scan", limit=60)
    assert eventually(lambda: ledger.renewals >= 2)
    ledger.answer = Answer("ok")
    seen = ledger.renewals
    assert eventually(lambda: ledger.renewals >= seen + 2)
    keeper.drop()


def test_an_answer_that_cannot_be_read_does_not_end_the_keeping_of_leases(ledger):
    ledger.answer = ValueError("of a newer version")
    keeper = LeaseKeeper(ledger)
    keeper.hold("job", "1:a", "scan", limit=60)
    assert eventually(lambda: ledger.renewals >= 1)
    ledger.answer = Answer("ok")
    keeper.hold("other", "2:b", "pin", limit=60)
    seen = ledger.renewals
    assert eventually(lambda: ledger.renewals >= seen + 2)
    keeper.drop()


def test_a_step_over_its_limit_gives_the_job_back_counted_and_ends_the_process(ledger):
    ended: list[int] = []
    keeper = LeaseKeeper(ledger, end=ended.append)
    began = time.monotonic()
    keeper.hold("job", "7:a", "resize", limit=0.4)
    assert eventually(lambda: ended != [])
    assert time.monotonic() - began >= 0.4
    assert [EXIT_STEP_TIMEOUT] == ended
    (released,) = ledger.released
    assert ("7:a", True) == (released["token"], released["counted"])
    assert "step_timeout" == released["error"].code


def test_a_step_done_in_time_is_left_alone(ledger):
    ended: list[int] = []
    keeper = LeaseKeeper(ledger, end=ended.append)
    keeper.hold("job", "1:a", "resize", limit=0.3)
    keeper.hold("job", "2:b", "optimize", limit=60)
    # At least a tenth of a second lies before each: the last is after the first step's limit.
    assert eventually(lambda: ledger.renewals >= 4)
    assert [] == ended
    keeper.drop()
