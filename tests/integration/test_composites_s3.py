"""Two storages as one, the primary a real S3 server's bucket behind a bad network."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import closing

import pytest
from services.proxy import Proxy, proxy
from services.timed_ledger import timed_ledger

from uploadmill.backends.ledger.breaker import SharedBreakers, circuits
from uploadmill.backends.storage.breaker import Circuit
from uploadmill.backends.storage.failover import FailoverStorage
from uploadmill.backends.storage.local import LocalStorage
from uploadmill.backends.storage.memory import MemoryStorage
from uploadmill.backends.storage.s3 import S3Storage
from uploadmill.errors import StorageUnavailable
from uploadmill.settings import BreakerSettings

BUCKET = "uploadmill-tests"

#: Bytes of more than one part.
LARGE = (5 << 20) + 1

#: Seconds in which a store that says nothing must be left: three calls of one second each, pauses,
#: and as much again for the other store; three times that for a slow machine.
BOUND = 20.0


def bucket(s3_server, name: str, test: str, where: str = BUCKET, **options) -> S3Storage:
    return S3Storage(
        where,
        f"composites/{test}/{name}".replace("[", "-").replace("]", ""),
        name=name,
        **{
            "endpoint_url": s3_server.endpoint,
            "region": "us-east-1",
            "access_key": s3_server.access_key,
            "secret_key": s3_server.secret_key,
            "part_size": 5 << 20,
            **options,
        },
    )


@pytest.fixture
def through_proxy(s3_server, request) -> Iterator[tuple[Proxy, S3Storage]]:
    with proxy(s3_server.port) as between:
        options = {"endpoint_url": between.endpoint, "read_timeout": 1.0}
        with closing(bucket(s3_server, "primary", request.node.name, **options)) as primary:
            yield between, primary


@pytest.mark.parametrize("fault", ["black_hole", "refusing"])
@pytest.mark.parametrize("size", [1000, LARGE])
def test_a_primary_that_is_gone_is_left_in_time(through_proxy, s3_server, request, fault, size):
    between, primary = through_proxy
    secondary = MemoryStorage("secondary")
    storage = FailoverStorage(primary, secondary)
    primary.ping()
    setattr(between, fault, True)

    began = time.monotonic()
    put = storage.put("a", b"x" * size, create_only=True)
    stat = storage.stat("a")
    seconds = time.monotonic() - began

    assert (size, put.sha256) == (stat.size, stat.sha256)
    assert ["a"] == [each.key for each in secondary.list()]
    assert seconds < BOUND

    # Back again, with the patience that a server deserves.
    with closing(bucket(s3_server, "primary", request.node.name)) as primary:
        assert ["a"] == list(FailoverStorage(primary, secondary).bring_home())
        assert put.sha256 == primary.stat("a").sha256
    assert [] == list(secondary.list())


def test_two_black_holes_are_unavailable_in_time(through_proxy, s3_server, request):
    between, primary = through_proxy
    between.black_hole = True
    options = {"endpoint_url": between.endpoint, "read_timeout": 1.0}
    with closing(bucket(s3_server, "secondary", request.node.name, **options)) as secondary:
        storage = FailoverStorage(primary, secondary)
        for call in (lambda: storage.put("a", b"1"), lambda: storage.stat("a")):
            began = time.monotonic()
            with pytest.raises(StorageUnavailable):
                call()
            assert time.monotonic() - began < BOUND


@pytest.mark.parametrize("options", [{"secret_key": "wrong"}, {"where": "no-such-bucket"}])
def test_refused_credentials_and_a_missing_bucket_are_left_at_once(s3_server, options, caplog):
    primary, secondary = bucket(s3_server, "primary", "refused", **options), MemoryStorage("other")
    with closing(FailoverStorage(primary, secondary)) as storage:
        storage.put("a", b"1")

    assert ["a"] == [each.key for each in secondary.list()]
    alarms = [each.message for each in caplog.records if each.levelname == "ERROR"]
    assert ["store_broken"] == alarms


def test_a_shared_breaker_spares_all_but_one_the_black_hole(through_proxy, redis_url, monkeypatch):
    monkeypatch.setattr("uploadmill.backends.ledger.breaker.FRESH", 0.0)
    between, primary = through_proxy
    with timed_ledger(redis_url) as ledger:
        settings = BreakerSettings(failures=3)
        stores = [
            FailoverStorage(
                primary,
                MemoryStorage("secondary"),
                breakers=SharedBreakers("", settings, scripts=ledger),
            )
            for _ in range(2)
        ]
        between.black_hole = True
        stores[0].put("a", b"1")
        primary.close()
        before = between.connections

        for number in range(20):
            stores[1].put(f"{number}", b"1")

        assert before == between.connections
        assert Circuit.CLOSED != circuits(ledger)["primary"].circuit

        between.black_hole = False
        ledger.pass_time(11)
        stores[1].put("home", b"1")
        assert Circuit.CLOSED == circuits(ledger)["primary"].circuit
        assert b"1" == primary.read("home", 1)


@pytest.mark.parametrize("which", ["before", "behind"])
def test_each_key_comes_once_though_the_server_lists_folder_by_folder(
    s3_server, request, tmp_path, which
):
    names = ["a b", "a-b", "a-c-d/e", "a-c/d", "a.b", "a/b", "a/b-c", "a/c/d", "a0", "z/1", "z-1"]
    with closing(bucket(s3_server, "s3", request.node.name)) as s3:
        local = LocalStorage(tmp_path / "root", name="local")
        for name in names:
            s3.put(name, b"1")
            local.put(name, b"2")
        assert s3.lists_by_folder()
        assert names != [stat.key for stat in s3.list()]
        storage = FailoverStorage(s3, local) if which == "before" else FailoverStorage(local, s3)

        assert sorted(names) == [stat.key for stat in storage.list()]
        for limit in (1, 2, 3):
            assert sorted(names) == pieces(storage, limit)


def pieces(storage: FailoverStorage, limit: int) -> list[str]:
    found: list[str] = []
    token = None
    while True:
        piece = storage.list(limit=limit, token=token)
        found += [stat.key for stat in piece]
        token = piece.token
        if token is None:
            return found


def test_a_server_that_hides_its_name_is_not_merged_wrongly(s3_server, request):
    hidden = bucket(s3_server, "s3", request.node.name, lists_by_folder=False)
    with closing(hidden), closing(bucket(s3_server, "s3", request.node.name)) as s3:
        for name in ("a/b", "a-b"):
            s3.put(name, b"1")

        with pytest.raises(StorageUnavailable, match="give lists_by_folder"):
            list(FailoverStorage(hidden, MemoryStorage("secondary")).list())
        assert ["a-b", "a/b"] == [
            stat.key for stat in FailoverStorage(s3, MemoryStorage("secondary")).list()
        ]
