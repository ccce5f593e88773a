"""When a worker reconciles by itself: at start, now and then, and when Redis may have forgotten."""

from __future__ import annotations

import subprocess
import sys
import threading
from contextlib import contextmanager
from types import SimpleNamespace

import pytest
import redis
from services.waiting import eventually

from uploadmill.backends.ledger.ledger import Ledger
from uploadmill.settings import LedgerSettings
from uploadmill.worker import errands, reconciling
from uploadmill.worker.embedded.processes import free_port
from uploadmill.worker.embedded.valkey import embedded_valkey
from uploadmill.worker.reconciling import LOCK, RECONCILED, Reconciling, Turns


@pytest.fixture
def client(redis_url):
    with redis.Redis.from_url(redis_url) as client:
        yield client


class Started:
    """Processes that end at once, and why they were started."""

    def __init__(self, seconds: float = 0, status: int = 0) -> None:
        self.within: list[float] = []
        self.seconds = seconds
        self.status = status
        self.last: subprocess.Popen[bytes] | None = None

    def __call__(self, within: float) -> subprocess.Popen[bytes]:
        self.within.append(within)
        code = f"import sys, time; time.sleep({self.seconds}); sys.exit({self.status})"
        self.last = subprocess.Popen([sys.executable, "-S", "-c", code])
        return self.last

    def wait(self) -> None:
        """Return when the last one has ended."""
        assert self.last is not None
        self.last.wait()


def reconciled(client) -> None:
    with Turns(client).take(0) as ours:
        assert ours


@contextmanager
def watching(url: str, started: Started, **constants: float):
    thread = Reconciling(Ledger(url, LedgerSettings(**constants), timeout=0.5), started)
    try:
        started.wait()
        yield thread
    finally:
        if thread.is_alive():
            thread.stop()
        else:
            started.wait()
            thread._ledger.close()


def test_one_that_was_done_is_not_due_until_its_time_is_over(client):
    turns = Turns(client)
    assert turns.due(600)
    reconciled(client)
    assert not turns.due(600)
    assert eventually(lambda: turns.due(0.05))


def test_a_redis_that_came_back_empty_is_reconciled(client):
    reconciled(client)
    client.flushall()
    assert Turns(client).due(600)


def test_a_redis_that_is_emptied_in_the_midst_of_it_is_reconciled_again_at_once(client, caplog):
    # Given somebody who has seen to some jobs
    with Turns(client).take(600) as first:
        assert first

        # When Redis forgets them, and also who is at it
        client.flushall()

    # Then nobody takes that for done
    assert not client.exists(RECONCILED)
    assert "reconciled_in_vain" in [each.message for each in caplog.records]
    assert Turns(client).due(600)
    assert not Turns(client).taken
    reconciled(client)
    assert not Turns(client).due(600)


def test_who_stood_still_until_somebody_else_began_does_not_speak_for_him(client):
    with Turns(client).take(600) as first:
        assert first
        client.delete(LOCK)  # it ran out meanwhile
        other = client.lock(LOCK, timeout=60)
        assert other.acquire(blocking=False)

    assert not client.exists(RECONCILED)
    assert other.owned()


def test_the_lists_are_gone_through_where_redis_may_have_forgotten_and_once_a_day(
    client, monkeypatch
):
    def gone_through(*, to_the_end: bool = True) -> bool:
        with Turns(client).take(0) as turn:
            assert turn
            turn.listed = turn.lists and to_the_end
            return turn.lists

    # At first, and again as long as a store is out
    assert [True, True, False] == [gone_through(to_the_end=end) for end in (False, True, True)]

    # When Redis was emptied, even while somebody was at it, and after one that was killed
    client.flushall()
    assert [True, False] == [gone_through(), gone_through()]
    with Turns(client).take(0):
        client.flushall()
    assert [True, False] == [gone_through(), gone_through()]
    client.delete(RECONCILED)
    assert [True, False] == [gone_through(), gone_through()]

    # And when the time is over
    monkeypatch.setattr(reconciling, "LISTS", 0.05)
    assert eventually(gone_through)
    monkeypatch.undo()
    assert not gone_through()


def test_one_that_failed_is_due_again(client):
    with pytest.raises(LookupError), Turns(client).take(600):
        raise LookupError
    assert Turns(client).due(600)
    assert not Turns(client).taken


def test_one_process_at_a_time(client):
    done: list[bool] = []

    def take() -> None:
        with Turns(client).take(600) as ours:
            done.append(ours is not None)
            assert not ours or eventually(lambda: 6 == len(done))

    threads = [threading.Thread(target=take) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [False] * 5 + [True] == sorted(done)


def test_a_lock_is_kept_as_long_as_it_takes_and_one_of_the_dead_runs_out(client, monkeypatch):
    monkeypatch.setattr(reconciling, "LOCK_TTL", 1.0)
    with Turns(client).take(600) as ours:
        assert ours
        first = client.pexpiretime(LOCK)
        # It is renewed every third of a second: this is the second time at least.
        assert eventually(lambda: client.pexpiretime(LOCK) > first + 500)
        assert Turns(client).taken
    client.delete(RECONCILED)
    client.set(LOCK, "of a dead process", px=300)
    with Turns(client).take(600) as ours:
        assert not ours
    assert eventually(lambda: not Turns(client).taken)


#: A reconciliation that takes for ever; its lock is renewed all the time.
ENDLESS = """
import sys, threading
import redis
from uploadmill.worker import errands, reconciling

reconciling.LOCK_TTL = 1.0
with redis.Redis.from_url(sys.argv[1]) as client:
    with reconciling.Turns(client).take(0) as ours:
        print(ours is not None, flush=True)
        threading.Event().wait()
"""


def test_one_that_was_killed_is_done_again_as_soon_as_its_lock_has_run_out(redis_url, client):
    # Given a Redis that was reconciled just now, and somebody who is at it again
    reconciled(client)
    started = Started()
    with watching(redis_url, started) as thread:
        command = [sys.executable, "-c", ENDLESS, redis_url]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as endless:
            assert endless.stdout is not None
            assert "True\n" == endless.stdout.readline()
            thread.look()
            assert 1 == len(started.within)

            # When that process is killed
            endless.kill()

        # Then its lock lasts no longer than it takes to renew it, and another one is started
        assert eventually(lambda: not Turns(client).taken)
        thread.look()
        assert 2 == len(started.within)


def test_the_lock_of_the_dead_delays_nobody_for_long():
    assert reconciling.LOCK_TTL <= 2 * reconciling.LOOK


def test_it_starts_one_at_start_and_no_other_before_it_is_due(redis_url, client):
    started = Started()
    with watching(redis_url, started) as thread:
        reconciled(client)
        thread.look()
        assert [5.0] == started.within
        client.flushall()
        thread.look()
        assert [5.0, 600.0] == started.within


def test_it_starts_none_while_somebody_is_at_it(redis_url, client):
    started = Started()
    with watching(redis_url, started) as thread, Turns(client).take(600) as ours:
        assert ours
        thread.look()
        assert 1 == len(started.within)


def test_it_starts_none_beside_its_own(redis_url):
    started = Started()
    with watching(redis_url, started) as thread:
        started.seconds = 60
        thread.look()
        thread.look()
        assert 2 == len(started.within)
        thread._process.kill()


def attempts(thread, started, clock, seconds: float) -> list[float]:
    """When new ones are started in that time, by a thread that looks once a second."""
    begun, at = [], 0.0
    while at < seconds:
        clock.now += 1
        at += 1
        before = len(started.within)
        thread.look()
        if len(started.within) > before:
            begun.append(at)
            started.wait()
    return begun


@pytest.fixture
def clock(monkeypatch):
    """The clock by which pauses are made."""
    clock = SimpleNamespace(now=1000.0)
    monkeypatch.setattr(errands, "time", SimpleNamespace(monotonic=lambda: clock.now))
    return clock


def test_after_each_one_that_fails_the_pause_is_twice_the_last_up_to_the_usual_one(
    redis_url, clock, caplog
):
    started = Started(status=1)
    with watching(redis_url, started) as thread:
        # Their ends are noticed at the next look, a second later
        assert [11, 32, 73, 154, 315, 636, 1237, 1838] == attempts(thread, started, clock, 2000)

        # One that comes to its end takes the pause back
        started.status = 0
        assert [439, 440] == attempts(thread, started, clock, 440)
        started.status = 1
        assert [1, 12] == attempts(thread, started, clock, 20)

    # And each pause is told
    said = [each for each in caplog.records if each.message == "errand_failed"]
    assert {("WARNING", "reconcile", 1)} == {(e.levelname, e.errand, e.status) for e in said}
    assert [10, 20, 40] == [each.pause for each in said[:3]]


def test_what_failed_on_another_redis_delays_nothing_on_this_one(tmp_path, clock):
    started, port = Started(status=1), free_port()
    url = f"redis://127.0.0.1:{port}/0"
    with embedded_valkey(tmp_path, port, persistent=True), watching(url, started) as thread:
        assert 4 == len(attempts(thread, started, clock, 200))
    with embedded_valkey(tmp_path, port, persistent=True):
        assert [1, 12] == attempts(thread, started, clock, 20)
    thread._ledger.close()


def test_the_thread_looks_by_itself(redis_url):
    started = Started()
    with watching(redis_url, started, reconcile=0.3) as thread:
        thread.start()
        assert eventually(lambda: len(started.within) >= 3)


def test_a_redis_that_was_restarted_is_reconciled_and_one_that_is_out_waited_for(tmp_path):
    started, port = Started(), free_port()
    url = f"redis://127.0.0.1:{port}/0"
    with embedded_valkey(tmp_path, port, persistent=True), redis.Redis.from_url(url) as client:
        reconciled(client)
    with watching(url, started) as thread:
        thread.look()
        assert 1 == len(started.within)
        with embedded_valkey(tmp_path, port, persistent=True):
            thread.look()
            assert 2 == len(started.within)
