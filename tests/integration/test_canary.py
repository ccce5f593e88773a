"""A canary keeps the secondary exercised, and everybody can see how it went."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from contextlib import closing
from pathlib import Path
from socket import gethostname

import pytest
from click.testing import CliRunner
from services.waiting import eventually

from uploadmill.backends.ledger.breaker import SharedBreakers, circuits
from uploadmill.backends.ledger.canary import CANARIES
from uploadmill.backends.ledger.ledger import Ledger
from uploadmill.backends.ledger.scripts import Scripts
from uploadmill.backends.storage.breaker import Circuit
from uploadmill.backends.storage.canary import FOLDER, exercise
from uploadmill.backends.storage.keys import is_key
from uploadmill.backends.storage.memory import MemoryStorage
from uploadmill.errors import IntegrityError, StorageUnavailable
from uploadmill.settings import LedgerSettings
from uploadmill.worker import canary as canary_module
from uploadmill.worker.canary import Canary
from uploadmill.worker.checks.circuits import check_circuits
from uploadmill.worker.checks.finding import Level
from uploadmill.worker.cli import main

pytestmark = pytest.mark.usefixtures("logging_as_it_was")

#: As patient with Redis as a slow machine needs it.
PATIENT = 10.0


def run(*words: str):
    return CliRunner().invoke(main, words)


def shown(*words: str):
    return json.loads(run(*words, "--json").stdout)


def break_secondary(settings) -> Path:
    """A file stands where the folder of the secondary should be."""
    folder = Path(settings.secondary.url.removeprefix("file://"))
    shutil.rmtree(folder, ignore_errors=True)
    folder.write_bytes(b"in the way")
    return folder


def open_circuit(settings, store: str) -> SharedBreakers:
    """As a worker does that meets a store which refuses it; its probe is due at once."""
    quick = settings.breaker.model_copy(update={"open": 0.001})
    breakers = SharedBreakers("", quick, scripts=Scripts(settings.redis_url, PATIENT))
    breaker = breakers(store)
    refused = StorageUnavailable(store, "access denied", retry_here=False)
    breaker.failed(breaker.enter(), refused)
    return breakers


def circuit_of(settings, store: str) -> Circuit:
    with closing(Scripts(settings.redis_url, PATIENT)) as scripts:
        return circuits(scripts)[store].circuit


def found_by_check(settings):
    return {finding.check: finding for finding in check_circuits(settings)}


def test_an_exercised_store_is_left_as_it_was():
    store = MemoryStorage()

    exercise(store, f"{FOLDER}/host")

    assert is_key(f"{FOLDER}/host")
    assert [] == list(store.list())


def test_a_store_that_changes_bytes_is_found_out():
    class Garbles(MemoryStorage):
        def put(self, key, source, **options):  # noqa: ARG002 (that is its fault)
            return super().put(key, b"garbled", **options)

    store = Garbles()
    with pytest.raises(IntegrityError):
        exercise(store, "canary")
    assert [] == list(store.list())


def test_a_canary_in_the_secondary_shows_in_stats_and_check(settings):
    assert {} == shown("stats")["canaries"]

    result = run("canary", "--json")

    assert 0 == result.exit_code, result.output
    assert json.loads(result.stdout)["secondary"]["ok"]
    state = shown("stats")["canaries"]
    assert ["secondary"] == list(state)
    assert (True, "") == (state["secondary"]["ok"], state["secondary"]["reason"])
    assert 0 <= state["secondary"]["ago"] < 60
    assert "canary secondary" in run("stats").output
    assert Level.OK == found_by_check(settings)["secondary canary"].level
    folder = Path(settings.secondary.url.removeprefix("file://"))
    assert [] == [each for each in folder.rglob("*") if each.is_file()]


def test_a_store_that_takes_few_kinds_of_files_takes_a_canary(settings, monkeypatch):
    monkeypatch.setenv("UPLOADMILL_SECONDARY__ALLOWED_EXTENSIONS", '["json", "png"]')

    result = run("canary", "--json")

    assert 0 == result.exit_code, result.output
    assert json.loads(result.stdout)["secondary"]["ok"]


def test_a_canary_that_does_not_come_back_raises_an_alarm(settings):
    break_secondary(settings)

    result = run("canary", "--log")

    assert 1 == result.exit_code
    assert "ERROR canary_failed store=secondary" in result.stderr
    assert not shown("stats")["canaries"]["secondary"]["ok"]
    assert "FAULT" in run("stats").output
    finding = found_by_check(settings)["secondary canary"]
    assert (Level.WARNING, True) == (finding.level, "jobs wait" in finding.why)


def test_a_canary_finds_out_whether_a_primary_is_back_that_nobody_uses(settings):
    with closing(open_circuit(settings, "primary")):
        assert eventually(lambda: Circuit.HALF_OPEN == circuit_of(settings, "primary"))
        finding, whose = found_by_check(settings)["primary circuit"], f"on {gethostname()} alone"
        assert (Level.WARNING, True) == (finding.level, whose in finding.what)
        shown_to_people = run("stats").output
        assert "access denied" in shown_to_people
        assert whose in shown_to_people

        assert {"primary", "secondary"} == {*shown("canary")}

    assert Circuit.CLOSED == circuit_of(settings, "primary")
    assert 1 == shown("stats")["circuits"]["primary"]["openings"]
    assert Level.OK == found_by_check(settings)["circuits"].level
    assert ["secondary"] == list(shown("canary"))


def test_check_tells_when_nobody_sends_canaries(settings):
    with closing(Ledger(settings.redis_url, settings.ledger)) as ledger:
        long_ago = {"at": 1.0, "ms": 5, "reason": ""}
        ledger.redis.hset(CANARIES, "secondary", json.dumps(long_ago))

    finding = found_by_check(settings)["secondary canary"]

    assert (Level.WARNING, True) == (finding.level, "start a worker" in finding.how)


def test_of_many_workers_one_sends_it(redis_url):
    ended = [sys.executable, "-S", "-c", ""]
    started = []

    def start():
        started.append(subprocess.Popen(ended))
        return started[-1]

    workers = [Canary(Ledger(redis_url, LedgerSettings()), 60.0, start) for _ in range(3)]
    for worker in workers:
        worker.look()
    workers[0]._ledger.redis.delete(canary_module.SENT)
    for worker in workers:
        worker.look()

    assert 2 == len(started)
    for process in started:
        assert 0 == process.wait(60)
    for worker in workers:
        worker._ledger.close()


def test_what_a_worker_starts_sends_one(settings):
    process = canary_module.canary()

    assert 0 == process.wait(120)
    assert shown("stats")["canaries"]["secondary"]["ok"]
