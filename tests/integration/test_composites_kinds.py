"""Storages made of stores of different kinds, on real servers: the contract, and the way home."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
from dataclasses import replace
from typing import Any

import pytest
from services import google_stores, s3_stores
from services.memory_stores import memory_stores
from services.stranded import job_of, stranded

from uploadmill.backends.ledger.audit import Audited, audit
from uploadmill.backends.ledger.healing import heal
from uploadmill.backends.ledger.lookup import status
from uploadmill.backends.ledger.settle import Settler
from uploadmill.backends.storage import open_storage
from uploadmill.backends.storage.balanced import BalancedStorage
from uploadmill.backends.storage.base import Storage
from uploadmill.backends.storage.contract import run_contract
from uploadmill.backends.storage.contract_ground import MadeUp
from uploadmill.backends.storage.contract_put import METADATA
from uploadmill.backends.storage.failover import FailoverStorage
from uploadmill.backends.storage.features import Access
from uploadmill.errors import StorageUnavailable, Unsupported
from uploadmill.settings import HealSettings, LedgerSettings

BUCKET = "uploadmill-tests"

#: Bytes of a part, or a chunk, where the kind lets us say so; S3's are its own tests' affair.
PART = 1 << 20

#: More than one of them.
LARGE = PART + 1000

SERVER_FAULTS = {"s3": s3_stores.SERVER_FAULTS, "gcs": google_stores.SERVER_FAULTS, "azure": set()}

#: Each kind once as the primary, and once as the secondary.
PAIRS = [("s3", "azure"), ("gcs", "s3"), ("azure", "gcs")]

Opener = Callable[..., Storage]


@pytest.fixture
def opened(s3_server, azure_server, google, request) -> Iterator[Opener]:
    """Opens stores by kind and name, each in a folder of its own on a real server."""
    test = request.node.name.replace("[", "-").replace("]", "")
    known: dict[str, dict[str, Any]] = {
        "s3": {
            "bucket": BUCKET,
            "endpoint_url": s3_server.endpoint,
            "region": "us-east-1",
            "access_key": s3_server.access_key,
            "secret_key": s3_server.secret_key,
        },
        "gcs": {"bucket": BUCKET, "endpoint_url": google.endpoint, "chunk_size": PART},
        "azure": {
            "container": BUCKET,
            "account_url": azure_server.account_url,
            "access_key": azure_server.access_key,
            "part_size": PART,
        },
    }
    with ExitStack() as stack:

        def make(kind: str, name: str, **options: Any) -> Storage:
            usual = {"base_path": f"kinds/{test}/{name}", "read_timeout": 20.0}
            store = open_storage(kind, name=name, **{**usual, **known[kind], **options})
            return stack.enter_context(closing(store))

        yield make


def no_space(*_: Any, **__: Any) -> Any:
    """What a bucket says that takes nothing more."""
    raise StorageUnavailable("primary", "the server answered QuotaExceeded", retry_here=False)


def out(kind: str) -> dict[str, str]:
    """The options of a store whose server is not there."""
    nobody = "http://127.0.0.1:1"
    return {"account_url": f"{nobody}/acme"} if kind == "azure" else {"endpoint_url": nobody}


def failures(storage: Storage, *kinds: str) -> dict[str, str]:
    """What a composite of these kinds does wrong and their servers do not."""
    results = run_contract(storage, large=LARGE, many=20)
    found = {result.name: result.detail for result in results if not result.ok}
    known = set().union(*(SERVER_FAULTS[kind] for kind in kinds))
    return {name: detail for name, detail in found.items() if name not in known}


def keys(store: Storage) -> list[str]:
    return [stat.key for stat in store.list()]


# -- the contract ----------------------------------------------------------------------------


def test_google_before_s3_keeps_the_contract(opened):
    primary, secondary = opened("gcs", "primary"), opened("s3", "secondary")

    assert {} == failures(FailoverStorage(primary, secondary), "gcs")
    assert ([], []) == (keys(primary), keys(secondary))


def test_s3_that_is_full_keeps_the_contract_with_azure_behind_it(opened, monkeypatch):
    # It still reads, lists and deletes; so both are asked, and every byte lies on Azure.
    primary, secondary = opened("s3", "primary"), opened("azure", "secondary")
    monkeypatch.setattr(primary, "put", no_space)
    monkeypatch.setattr(primary, "copy", no_space)

    assert {} == failures(FailoverStorage(primary, secondary), "azure")
    assert ([], []) == (keys(primary), keys(secondary))


def test_three_kinds_that_share_keep_the_contract(opened):
    kinds = ("s3", "gcs", "azure")
    stores = {kind: (opened(kind, kind), 1.0) for kind in kinds}

    assert {} == failures(BalancedStorage(stores), *kinds)
    assert [[], [], []] == [keys(store) for store, _ in stores.values()]


# -- the way home ----------------------------------------------------------------------------


@pytest.mark.parametrize("size", [1000, LARGE])
@pytest.mark.parametrize("kinds", PAIRS, ids="-".join)
def test_what_failed_over_to_another_kind_comes_home_as_it_was(opened, kinds, size):
    content = MadeUp(size).part(0, size)
    facts = {
        "content_type": "text/x-odd; a=b",
        "metadata": METADATA,
        "cache_control": "max-age=60",
        "content_disposition": 'attachment; filename="a b.txt"',
    }
    gone = opened(kinds[0], "primary", **out(kinds[0]))
    primary, secondary = opened(kinds[0], "primary"), opened(kinds[1], "secondary")
    FailoverStorage(gone, secondary).put("folder/ä b", content, create_only=True, **facts)
    assert ([], ["folder/ä b"]) == (keys(primary), keys(secondary))

    storage = FailoverStorage(primary, secondary)
    assert content == storage.read("folder/ä b", size, verify=True)
    assert ["folder/ä b"] == list(storage.bring_home())

    assert [] == keys(secondary)
    stat = primary.stat("folder/ä b")
    assert facts == {name: getattr(stat, name) for name in facts}
    assert (hashlib.sha256(content).hexdigest(), size) == (stat.sha256, stat.size)
    assert content == primary.read("folder/ä b", size, verify=True)


@pytest.mark.parametrize("kinds", [("gcs", "s3")], ids="-".join)
def test_access_comes_home_where_both_kinds_have_it(opened, kinds):
    primary, secondary = opened(kinds[0], "primary"), opened(kinds[1], "secondary")
    secondary.put("shown", b"1")
    secondary.set_access("shown", Access.PUBLIC_READ)
    secondary.put("hidden", b"1")

    list(FailoverStorage(primary, secondary).bring_home())

    found = {key: primary.access(key) for key in keys(primary)}
    assert {"hidden": Access.PRIVATE, "shown": Access.PUBLIC_READ} == found


def test_access_is_asked_for_in_vain_where_one_kind_has_none(opened):
    storage = FailoverStorage(opened("s3", "primary"), opened("azure", "secondary"))
    source = MadeUp(10)

    with pytest.raises(Unsupported, match="the container's, not the object's"):
        storage.put("a", source, access=Access.PUBLIC_READ)
    assert 0 == source.opened


def test_what_is_public_comes_home_to_a_container_with_the_access_that_this_has(opened):
    primary, secondary = opened("azure", "primary"), opened("s3", "secondary")
    secondary.put("shown", b"1")
    secondary.set_access("shown", Access.PUBLIC_READ)

    assert ["shown"] == list(FailoverStorage(primary, secondary).bring_home())
    assert b"1" == primary.read("shown", 1)


@pytest.mark.parametrize("kinds", PAIRS, ids="-".join)
def test_a_job_is_healed_from_another_kind(ledger, opened, kinds):
    primary, secondary = opened(kinds[0], "primary"), opened(kinds[1], "secondary")
    settler = Settler(ledger, replace(memory_stores(), primary=primary, secondary=secondary))
    made = stranded(settler, b"a picture" * (PART // 8))
    fast = HealSettings(jobs_per_second=1000, bytes_per_second=1e9)

    assert 1 == heal(settler, fast).copied
    ledger.pass_time(LedgerSettings().heal_grace)
    assert 1 == heal(settler, fast).cleared

    assert [] == keys(secondary)
    assert 2 == len(keys(primary))
    stat = primary.stat(made.key)
    assert (made.sha256, made.size) == (stat.sha256, stat.size)
    assert ("image/jpeg", {"job": job_of(made)}, "no-cache") == (
        stat.content_type,
        stat.metadata,
        stat.cache_control,
    )
    assert "primary" == status(settler, job_of(made)).result.outputs["original"].store
    assert [True] == [each.ok for each in audit(settler, verify=True) if isinstance(each, Audited)]
