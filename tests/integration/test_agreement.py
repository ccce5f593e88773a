"""Who may say what all workers must have alike, and who leaves: after starts and outages."""

from __future__ import annotations

from contextlib import closing
from types import SimpleNamespace

import pytest

from uploadmill.backends.ledger.ledger import Ledger
from uploadmill.backends.ledger.names import AGREED
from uploadmill.errors import InvalidSettings, LedgerUnavailable
from uploadmill.settings import Settings
from uploadmill.worker import agreement as module
from uploadmill.worker.agreement import SILENT, Agreement
from uploadmill.worker.embedded.processes import free_port
from uploadmill.worker.roster import HOLD, SAY, Roster


class Member:
    """A worker as far as it has to agree, with a broker that a test can take away."""

    def __init__(self, url: str, visibility: float) -> None:
        self.tables = {"redis_url": url, "worker": {"visibility_timeout": visibility}}
        self.left = 0
        self.ledger = Ledger(url, self.settings().ledger)
        self.agreement = Agreement(Roster(self.ledger, self.settings()), self._leave)

    def settings(self, **changes: str) -> Settings:
        return Settings.model_validate(self.tables | changes)

    def looks(self) -> None:
        self.agreement.keep()

    def loses_the_broker(self) -> None:
        nobody = f"redis://127.0.0.1:{free_port()}/0"
        self.agreement._roster = Roster(self.ledger, self.settings(broker_url=nobody))

    def finds_the_broker(self) -> None:
        self.agreement._roster = Roster(self.ledger, self.settings())

    def _leave(self) -> None:
        self.left += 1


@pytest.fixture
def member(redis_url):
    made = []

    def start(visibility: float = 3600) -> Member:
        made.append(Member(redis_url, visibility))
        return made[-1]

    yield start
    for each in made:
        each.ledger.close()


@pytest.fixture
def started(member):
    def start(visibility: float = 3600) -> Member:
        one = member(visibility)
        one.agreement.begin()
        return one

    return start


@pytest.fixture
def clock(monkeypatch):
    """The clock of all workers."""
    clock = SimpleNamespace(now=1000.0)
    monkeypatch.setattr(module, "time", SimpleNamespace(monotonic=lambda: clock.now))
    return clock


@pytest.fixture
def held(redis_url):
    """What holds at the moment; Redis' own time runs out when the test says so."""
    with closing(Ledger(redis_url, Settings().ledger)) as ledger:
        yield SimpleNamespace(
            value=lambda: ledger.redis.get(AGREED + "visibility_timeout"),
            forget=ledger.redis.flushall,
        )


@pytest.fixture
def without_broker(member):
    """A worker that was started while the broker was out, and can ask it now."""

    def start(visibility: float) -> Member:
        one = member(visibility)
        one.loses_the_broker()
        one.agreement.begin()
        with pytest.raises(LedgerUnavailable):
            one.looks()
        one.finds_the_broker()
        return one

    return start


def test_who_starts_beside_others_and_differs_is_refused(started):
    started(3600)
    started(3600)
    with pytest.raises(InvalidSettings):
        started(7200)


def test_who_was_started_during_an_outage_and_differs_leaves_and_says_why_once(
    started, without_broker, caplog
):
    started(3600)
    newcomer = without_broker(7200)

    newcomer.looks()
    newcomer.looks()

    assert 1 == newcomer.left
    [line] = [each for each in caplog.records if each.levelname == "ERROR"]
    assert "disagreed" == line.message
    assert "worker.visibility_timeout is 7200 s here and 3600 s in another" in line.reason


def test_who_was_started_during_an_outage_and_does_not_differ_stays(started, without_broker, held):
    started(3600)
    newcomer = without_broker(3600)
    newcomer.looks()
    assert 0 == newcomer.left
    assert "3600" == held.value()


def test_after_an_outage_those_who_were_there_before_speak_first(
    started, without_broker, clock, held
):
    # Given an outage after which nothing holds any more
    old = started(3600)
    newcomer = without_broker(7200)
    held.forget()
    clock.now += 10 * HOLD

    # When the newcomer looks first
    newcomer.looks()
    newcomer.looks()
    assert held.value() is None

    # Then the others' word holds all the same
    old.looks()
    newcomer.looks()
    assert (0, 1, "3600") == (old.left, newcomer.left, held.value())


def test_a_newcomer_whom_nobody_answers_speaks_in_the_end(without_broker, held):
    newcomer = without_broker(7200)
    for _ in range(SILENT):
        newcomer.looks()
    assert held.value() is None
    newcomer.looks()
    assert "7200" == held.value()


def test_who_starts_the_moment_redis_was_emptied_does_not_send_the_others_away(
    started, clock, held
):
    # Given workers of one mind, and for long
    fleet = [started(3600), started(3600)]
    for _ in range(5):
        clock.now += SAY
        for each in fleet:
            each.looks()

    # When Redis is emptied, and the first to say anything is new
    held.forget()
    newcomer = started(7200)
    clock.now += SAY
    for each in (*fleet, newcomer):
        each.looks()

    # Then it has to go
    assert ([0, 0], 1) == ([each.left for each in fleet], newcomer.left)
    assert "3600" == held.value()


def test_who_was_away_for_long_leaves_where_the_others_have_changed_their_mind(
    started, clock, held
):
    away = started(3600)
    clock.now += 2 * HOLD
    away.looks()
    clock.now += 2 * HOLD
    held.forget()
    started(7200)

    away.looks()

    assert 1 == away.left
    assert "7200" == held.value()


def test_who_was_away_for_long_does_not_stand_against_those_who_were_not(started, clock, held):
    # Given workers who have changed their mind while one was away
    away = started(3600)
    clock.now += 10 * HOLD
    held.forget()
    other = started(7200)
    for _ in range(5):
        clock.now += SAY
        other.looks()

    # When Redis is emptied, and the one who was away speaks first
    held.forget()
    away.looks()
    assert "3600" == held.value()
    other.looks()
    away.looks()

    # Then it has to go
    assert (0, 1, "7200") == (other.left, away.left, held.value())
