"""Circuit breakers on a real Valkey: one state for all processes, and none needed."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path

import pytest
from services import breaker_process
from services.breaker_process import PATIENT, SETTINGS
from services.timed_ledger import TimedLedger, timed_ledger
from services.waiting import eventually

import uploadmill
from uploadmill.backends.ledger import breaker as breaker_module
from uploadmill.backends.ledger.breaker import CIRCUITS, SharedBreakers, circuits
from uploadmill.backends.ledger.scripts import Scripts
from uploadmill.backends.storage.breaker import Circuit, admitted
from uploadmill.errors import IntegrityError, ObjectNotFound, StorageUnavailable


@pytest.fixture
def ledger(redis_url, monkeypatch):
    # Its time stands still, and nothing else is to pass either.
    monkeypatch.setattr(breaker_module, "FRESH", 0.0)
    with timed_ledger(redis_url) as ledger:
        yield ledger


def process_of(ledger: TimedLedger, host: str = "one") -> SharedBreakers:
    """The breakers of one more process, by the clock of the test."""
    return SharedBreakers("", SETTINGS, scripts=ledger, host=host)


def silent(store: str = "primary") -> StorageUnavailable:
    return StorageUnavailable(store, "no answer")


def refusing(store: str = "primary") -> StorageUnavailable:
    return StorageUnavailable(store, "access denied", retry_here=False)


def fail(breaker, error=None, times=1):
    for _ in range(times):
        breaker.failed(breaker.enter(), error or silent())


def stands(ledger: TimedLedger) -> Circuit:
    raw = ledger.redis.hget(CIRCUITS, "primary")
    return Circuit.CLOSED if raw is None or '"closed":true' in raw else Circuit.OPEN


def test_a_store_that_nobody_complained_of_is_asked(ledger):
    admission = process_of(ledger)("primary").enter()

    assert (True, "") == (admission.allowed, admission.probe)
    assert {} == circuits(ledger)


def test_failures_of_several_processes_open_the_circuit_for_all(ledger):
    one, two, three = (process_of(ledger)("primary") for _ in range(3))

    fail(one, times=2)
    assert two.enter().allowed
    fail(two)

    assert [False] * 3 == [each.enter().allowed for each in (one, two, three)]
    assert process_of(ledger)("secondary").enter().allowed


def test_a_refusal_opens_at_once(ledger):
    fail(process_of(ledger)("primary"), refusing())

    assert not process_of(ledger)("primary").enter().allowed


def test_who_alone_is_refused_is_alone_with_it(ledger, caplog):
    # Given two hosts, one of which has wrong credentials
    wrong, beside = (process_of(ledger, "wrong")("primary") for _ in range(2))
    right = process_of(ledger, "right")("primary")

    # When it is refused
    fail(wrong, refusing())

    # Then no process of this host asks any more, and all the others do
    assert [False, False, True] == [each.enter().allowed for each in (wrong, beside, right)]
    assert "" == right.enter().probe
    assert ("wrong", Circuit.OPEN) == only_and_circuit(ledger)
    assert ["wrong"] == [each.host for each in caplog.records if each.message == "circuit_opened"]

    # And it finds out by itself when it is let in
    ledger.pass_time(11)
    wrong.succeeded(wrong.enter())
    assert beside.enter().allowed
    assert ("", Circuit.CLOSED) == only_and_circuit(ledger)


def only_and_circuit(ledger: TimedLedger) -> tuple[str, Circuit]:
    state = circuits(ledger)["primary"]
    return state.only, state.circuit


def test_a_store_that_refuses_a_second_host_is_asked_by_nobody(ledger):
    one, two, three = (process_of(ledger, host)("primary") for host in ("one", "two", "three"))
    fail(one, refusing())

    fail(two, refusing())

    assert [False] * 3 == [each.enter().allowed for each in (one, two, three)]
    assert ("", Circuit.OPEN) == only_and_circuit(ledger)


def test_a_store_that_falls_silent_while_one_host_is_refused_is_asked_by_nobody(ledger):
    refused, other, third = (process_of(ledger, host)("primary") for host in ("a", "b", "c"))
    fail(refused, refusing())

    fail(other, times=SETTINGS.failures)

    assert [False] * 3 == [each.enter().allowed for each in (refused, other, third)]


def test_a_host_that_is_gone_is_no_alarm_for_ever(ledger):
    fail(process_of(ledger, "gone")("primary"), refusing())
    probe_was_due(ledger, ago=1)
    assert ("gone", Circuit.HALF_OPEN) == only_and_circuit(ledger)

    probe_was_due(ledger, ago=601)

    assert ("", Circuit.CLOSED) == only_and_circuit(ledger)
    assert 1 == pytest.approx(circuits(ledger)["primary"].since, abs=1)


def test_the_refusal_of_a_host_that_is_gone_is_forgotten(ledger):
    # Given a host with wrong credentials that has another name after each start
    healthy = process_of(ledger, "healthy")("primary")
    for name in ("pod-1", "pod-2", "pod-3"):
        wrong = process_of(ledger, name)("primary")

        # When it is refused, and then started anew
        fail(wrong, refusing())

        # Then it never is the second one that the store refuses
        assert [False, True] == [wrong.enter().allowed, healthy.enter().allowed]
        assert name == json.loads(ledger.redis.hget(CIRCUITS, "primary"))["only"]
        ledger.pass_time(11 + 600)

    # And a host that comes back under its old name is one like any other
    assert "" == wrong.enter().probe
    assert wrong.enter().allowed


def test_a_host_that_is_refused_at_each_of_its_probes_is_not_gone(ledger):
    wrong, other, third = (process_of(ledger, host)("primary") for host in ("a", "b", "c"))
    fail(wrong, refusing())
    for _ in range(3):
        ledger.pass_time(500)
        fail(wrong, refusing())

    fail(other, refusing())

    assert [False] * 3 == [each.enter().allowed for each in (wrong, other, third)]


def probe_was_due(ledger: TimedLedger, ago: float) -> None:
    """By the clock of Redis: people are shown what holds now."""
    seconds, _ = ledger.redis.time()
    kept = json.loads(ledger.redis.hget(CIRCUITS, "primary"))
    kept["retry_at"] = (seconds - ago) * 1000
    ledger.redis.hset(CIRCUITS, "primary", json.dumps(kept))


def test_failures_that_lie_far_apart_open_nothing(ledger):
    breaker = process_of(ledger)("primary")
    for _ in range(9):
        fail(breaker)
        ledger.pass_time(16)

    assert breaker.enter().allowed


def test_a_success_in_between_forgets_the_failures(ledger):
    breaker = process_of(ledger)("primary")
    for _ in range(5):
        fail(breaker, times=2)
        breaker.succeeded(breaker.enter())

    assert breaker.enter().allowed
    assert 0 == circuits(ledger)["primary"].failures


def test_one_process_probes_when_it_is_time(ledger):
    processes = [process_of(ledger)("primary") for _ in range(4)]
    fail(processes[0], refusing())
    ledger.pass_time(9)
    assert [False] * 4 == [each.enter().allowed for each in processes]

    ledger.pass_time(2)
    admissions = [each.enter() for each in processes]

    assert [True, False, False, False] == [each.allowed for each in admissions]
    assert admissions[0].probe


def test_a_probe_that_succeeds_closes_the_circuit_for_all(ledger):
    one, two = (process_of(ledger)("primary") for _ in range(2))
    fail(one, refusing())
    ledger.pass_time(11)

    two.succeeded(two.enter())

    assert Circuit.CLOSED == stands(ledger)
    assert one.enter() == process_of(ledger)("primary").enter()
    assert 1 == circuits(ledger)["primary"].openings


def test_a_probe_that_fails_starts_the_wait_again(ledger):
    one, two = (process_of(ledger)("primary") for _ in range(2))
    fail(one, refusing())
    ledger.pass_time(11)

    fail(one, refusing())

    ledger.pass_time(9)
    assert not two.enter().allowed
    ledger.pass_time(2)
    assert two.enter().allowed
    assert 1 == circuits(ledger)["primary"].openings


def test_a_prober_that_was_killed_is_replaced(ledger):
    one, two = (process_of(ledger)("primary") for _ in range(2))
    fail(one, refusing())
    ledger.pass_time(11)
    assert one.enter().probe

    ledger.pass_time(59)
    assert not two.enter().allowed
    ledger.pass_time(2)
    assert two.enter().probe


@pytest.mark.parametrize(
    "error", [IntegrityError("primary", "a"), FileNotFoundError("the source"), SystemExit(0)]
)
def test_a_probe_that_learns_nothing_of_the_store_is_the_next_callers(ledger, error):
    one, two = (process_of(ledger)("primary") for _ in range(2))
    fail(one, refusing())
    ledger.pass_time(11)

    with pytest.raises(type(error)), admitted(one, "primary"):
        raise error

    assert Circuit.OPEN == stands(ledger)
    assert two.enter().probe


def test_what_was_begun_before_the_circuit_opened_proves_nothing(ledger):
    slow, other = (process_of(ledger)("primary") for _ in range(2))
    begun = slow.enter()
    fail(slow)
    fail(other, refusing())

    slow.succeeded(begun)
    slow.failed(begun, silent())

    assert Circuit.OPEN == stands(ledger)


def test_a_slow_probe_counts_when_it_comes_back_late(ledger):
    one, two = (process_of(ledger)("primary") for _ in range(2))
    fail(one, refusing())
    ledger.pass_time(11)
    probe = one.enter()
    ledger.pass_time(61)
    assert two.enter().probe

    one.succeeded(probe)

    assert Circuit.CLOSED == stands(ledger)


def test_people_are_told(ledger, caplog):
    breaker = process_of(ledger)("primary")

    with caplog.at_level("WARNING"):
        fail(breaker, refusing(), times=2)
    ledger.pass_time(11)
    with caplog.at_level("WARNING"):
        breaker.succeeded(breaker.enter())

    assert [("ERROR", "circuit_opened"), ("WARNING", "circuit_closed")] == [
        (record.levelname, record.message) for record in caplog.records
    ]
    assert "access denied" == caplog.records[0].reason


def test_a_definite_answer_is_no_failure(ledger):
    breaker = process_of(ledger)("primary")
    fail(breaker, times=2)

    with pytest.raises(ObjectNotFound), admitted(breaker, "primary"):
        raise ObjectNotFound("primary", "a")

    fail(breaker, times=2)
    assert breaker.enter().allowed


@contextmanager
def asking(url: str, verb: str, times: int) -> Iterator[list[subprocess.Popen[str]]]:
    """Processes that have connected, and do *verb* when they are told."""
    command = [sys.executable, str(Path(breaker_process.__file__)), url, verb]
    environment = os.environ | {"PYTHONPATH": str(Path(uploadmill.__file__).parents[1])}
    with ExitStack() as stack:
        started = [
            stack.enter_context(
                subprocess.Popen(
                    command,
                    stdin=subprocess.PIPE,
                    stdout=subprocess.PIPE,
                    text=True,
                    env=environment,
                )
            )
            for _ in range(times)
        ]
        for each in started:
            assert "ready" == each.stdout.readline().strip()
        yield started


def told(processes: list[subprocess.Popen[str]]) -> list[str]:
    """Let all of them do it at once; what they say."""
    for each in processes:
        each.stdin.write("go\n")
        each.stdin.flush()
    return [each.stdout.readline().strip() for each in processes]


def test_processes_share_one_state(redis_url):
    with asking(redis_url, "fail", SETTINGS.failures) as processes:
        assert ["failed"] * SETTINGS.failures == told(processes)

    with closing(Scripts(redis_url, PATIENT)) as scripts:
        assert Circuit.OPEN == circuits(scripts)["primary"].circuit


def test_of_many_processes_one_probes(redis_url):
    with closing(Scripts(redis_url, PATIENT)) as scripts:
        quick = SETTINGS.model_copy(update={"open": 0.05})
        opened = SharedBreakers("", quick, scripts=scripts)
        opened("primary").failed(opened("primary").enter(), refusing())
        assert eventually(lambda: Circuit.HALF_OPEN == circuits(scripts)["primary"].circuit)

    with asking(redis_url, "enter", 4) as processes:
        said = told(processes)

    assert ["probe", "refused", "refused", "refused"] == sorted(said)


def test_without_redis_every_store_is_asked(caplog):
    with socket.socket() as nobody:
        nobody.bind(("127.0.0.1", 0))
        url = f"redis://127.0.0.1:{nobody.getsockname()[1]}/0"
        with closing(SharedBreakers(url, SETTINGS)) as breakers:
            fail(breakers("primary"), refusing(), times=4)

            assert breakers("primary").enter().allowed
    assert ["breaker_not_shared"] == [record.message for record in caplog.records]


@pytest.mark.parametrize("tampered", [{CIRCUITS: "text"}, {CIRCUITS: {"primary": "no JSON"}}])
def test_a_state_that_makes_no_sense_stops_nobody(ledger, tampered):
    for key, value in tampered.items():
        if isinstance(value, dict):
            ledger.redis.hset(key, mapping=value)
        else:
            ledger.redis.set(key, value)
    breaker = process_of(ledger)("primary")

    admission = breaker.enter()
    breaker.failed(admission, refusing())

    assert breaker.enter().allowed


def test_a_redis_that_hangs_costs_one_call_a_moment_and_the_others_nothing():
    with socket.create_server(("127.0.0.1", 0)) as deaf:
        url = f"redis://127.0.0.1:{deaf.getsockname()[1]}/0"
        with closing(SharedBreakers(url, SETTINGS)) as breakers:
            began = time.monotonic()
            breakers("primary").enter()
            first = time.monotonic() - began
            for _ in range(1000):
                breakers("primary").succeeded(breakers("primary").enter())
            others = time.monotonic() - began - first

    assert first < 1.0, f"{first} s, of which 0.05 are the breaker's own"
    assert others < 1.0, f"{others} s for a thousand calls"
