"""When a worker heals by itself: when a job is due, and nobody is at it or was a moment ago."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from contextlib import contextmanager

import pytest
import redis
from services.waiting import eventually

from uploadmill.backends.ledger.ledger import Ledger
from uploadmill.backends.ledger.names import HEAL
from uploadmill.settings import LedgerSettings
from uploadmill.worker import errands
from uploadmill.worker.healing import LOCK, LOOKED, Healing, turn


@pytest.fixture
def client(redis_url):
    with redis.Redis.from_url(redis_url) as client:
        yield client


class Started:
    """Processes that end at once, or after some seconds."""

    def __init__(self, seconds: float = 0, status: int = 0) -> None:
        self.times = 0
        self.seconds = seconds
        self.status = status

    def __call__(self) -> subprocess.Popen[bytes]:
        self.times += 1
        code = f"import sys, time; time.sleep({self.seconds}); sys.exit({self.status})"
        return subprocess.Popen([sys.executable, "-S", "-c", code])


@contextmanager
def healing(url, started, every=60.0):
    thread = Healing(Ledger(url, LedgerSettings(), timeout=0.5), every, started)
    try:
        yield thread
    finally:
        if thread.is_alive():
            thread.stop()
        else:
            if thread._process is not None:
                thread._process.kill()
                thread._process.wait()
            thread._ledger.close()


def due(client, seconds=0.0):
    client.zadd(HEAL, {"some job": (time.time() + seconds) * 1000})


def test_nothing_is_started_where_there_is_nothing_to_heal_yet(redis_url, client):
    started = Started()
    with healing(redis_url, started) as thread:
        thread.look()
        due(client, 60)
        thread.look()
    assert 0 == started.times


def test_a_job_that_is_due_is_healed_by_one_process_at_a_time(redis_url, client):
    started = Started(seconds=60)
    due(client)
    with healing(redis_url, started) as thread:
        thread.look()
        thread.look()
    assert 1 == started.times


def test_nothing_is_started_while_somebody_is_at_it_or_was_a_moment_ago(redis_url, client):
    started = Started()
    due(client)
    with healing(redis_url, started) as thread:
        with turn(client, every=600) as ours:
            assert ours
            client.delete(LOOKED)  # the lock alone holds them off, however long it takes
            thread.look()
            client.set(LOOKED, 1)
        thread.look()
        assert 0 == started.times
        assert not client.exists(LOCK)
        client.delete(LOOKED)
        thread.look()
        assert 1 == started.times


def test_one_takes_its_turn_and_the_others_leave_it(client):
    with turn(client, every=600) as first, turn(client, every=600) as second:
        assert (True, False) == (first, second)
    with turn(client, every=600) as too_early:
        assert not too_early


def test_the_thread_looks_by_itself(redis_url, client):
    started = Started()
    due(client)
    with healing(redis_url, started, every=0.1) as thread:
        thread.start()
        assert eventually(lambda: started.times >= 2)


def test_a_process_that_is_deaf_to_its_end_does_not_hold_up_the_worker(
    redis_url, client, monkeypatch
):
    monkeypatch.setattr(errands, "END", 0.2)
    deaf = "import signal; signal.signal(15, signal.SIG_IGN); print(flush=True); signal.pause()"
    processes = []

    def start():
        process = subprocess.Popen([sys.executable, "-S", "-c", deaf], stdout=subprocess.PIPE)
        processes.append(process)
        process.stdout.readline()  # it is deaf now
        return process

    due(client)
    with healing(redis_url, start, every=0.1) as thread:
        thread.start()
        assert eventually(lambda: processes)

    (process,) = processes
    with process.stdout:
        assert -signal.SIGKILL == process.returncode


@pytest.mark.parametrize(("ended", "level"), [("in vain", "DEBUG"), ("killed", "WARNING")])
def test_one_that_fails_is_usual_while_a_store_is_out_but_none_is_killed(
    redis_url, client, caplog, ended, level
):
    due(client)
    with healing(redis_url, Started(*((0, 1) if ended == "in vain" else (60,)))) as thread:
        thread.look()
        if ended == "killed":
            thread._process.kill()
        thread._process.wait()
        with caplog.at_level("DEBUG", "uploadmill.errands"):
            thread.look()

    said = [each.levelname for each in caplog.records if each.message == "errand_failed"]
    assert [level] == said


def test_a_redis_that_is_out_is_waited_for():
    started = Started()
    with healing("redis://127.0.0.1:1/0", started) as thread:
        thread.look()
    assert 0 == started.times
