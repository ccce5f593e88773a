"""Healing between real S3 stores: objects small and in parts, and lines that break."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
from dataclasses import replace

import pytest
from services.memory_stores import memory_stores
from services.proxy import proxy
from services.s3_levels import Settings, refusing_levels
from services.s3_stores import new_store
from services.stranded import job_of, stranded

from uploadmill.backends.ledger.audit import Audited, audit
from uploadmill.backends.ledger.heal_queue import HOLD
from uploadmill.backends.ledger.healing import heal
from uploadmill.backends.ledger.lookup import status
from uploadmill.backends.ledger.settle import Settler
from uploadmill.backends.storage.features import Access
from uploadmill.backends.storage.s3 import S3Storage
from uploadmill.backends.storage.sources import CHUNK
from uploadmill.backends.storage.unfinished import KeepsParts
from uploadmill.settings import HealSettings

FAST = HealSettings(jobs_per_second=1000, bytes_per_second=1e9)
SMALL = b"a small picture"
#: Three parts of the size below.
LARGE = b"a large picture " * (11 << 16)
PART = 5 << 20
GRACE = 86_400.0


@pytest.fixture
def cloud(ledger, s3_server, request) -> Iterator[tuple[Settler, object]]:
    """Primary and secondary on S3, the latter behind a line that can be cut."""

    def store(name: str, endpoint: str) -> S3Storage:
        return S3Storage(
            "uploadmill-tests",
            f"heal/{request.node.name.replace('[', '-').replace(']', '')}/{name}",
            name=name,
            endpoint_url=endpoint,
            region="us-east-1",
            access_key=s3_server.access_key,
            secret_key=s3_server.secret_key,
            part_size=PART,
            read_timeout=20.0,
        )

    with (
        proxy(s3_server.port) as line,
        closing(store("primary", s3_server.endpoint)) as primary,
        closing(store("secondary", line.endpoint)) as secondary,
    ):
        stores = replace(memory_stores(), primary=primary, secondary=secondary)
        yield Settler(ledger, stores), line


@pytest.fixture
def refusing(cloud, s3_server) -> Iterator[Callable[[Settings], None]]:
    """Gives the primary's bucket settings that refuse access levels."""
    settler, _ = cloud
    prefix = settler.stores.primary._objects.prefix
    with ExitStack() as stack:

        def refuse(settings: Settings) -> None:
            between = stack.enter_context(refusing_levels(s3_server.port, settings))
            options = {"base_path": prefix, "endpoint_url": between.endpoint, "part_size": PART}
            primary = stack.enter_context(closing(new_store(s3_server, **options)))
            settler.stores = replace(settler.stores, primary=primary)

        yield refuse


def keys(store) -> list[str]:
    return [stat.key for stat in store.list()]


@pytest.mark.parametrize("content", [SMALL, LARGE], ids=["small", "in-parts"])
def test_a_job_comes_home_from_s3_to_s3(cloud, content):
    settler, _ = cloud
    made = stranded(settler, content)

    assert 1 == heal(settler, FAST).copied

    primary = settler.stores.primary
    there = primary.stat(made.key)
    assert (made.sha256, made.size) == (there.sha256, there.size)
    assert ("image/jpeg", {"job": job_of(made)}, "no-cache") == (
        there.content_type,
        there.metadata,
        there.cache_control,
    )
    with primary.open(made.key, verify=True) as stream:
        while stream.read(CHUNK):
            pass
    assert "primary" == status(settler, job_of(made)).result.outputs["original"].store

    settler.ledger.pass_time(GRACE)
    assert 1 == heal(settler, FAST).cleared
    assert [] == keys(settler.stores.secondary)
    assert 2 == len(keys(primary))
    assert [True] == [each.ok for each in audit(settler, verify=True) if isinstance(each, Audited)]


def test_a_line_that_breaks_in_the_middle_leaves_nothing_half_done(cloud):
    settler, line = cloud
    made = stranded(settler, LARGE)
    settler.stores.secondary.close()
    line.cut_after = 2 * PART

    assert 0 == heal(settler, FAST).copied

    assert [] == keys(settler.stores.primary)
    assert "secondary" == status(settler, job_of(made)).result.outputs["original"].store
    primary = settler.stores.primary
    assert isinstance(primary, KeepsParts)
    assert [] == list(primary.unfinished())

    line.cut_after = None
    settler.stores.secondary.close()
    settler.ledger.pass_time(HOLD)
    assert 1 == heal(settler, FAST).copied
    assert 2 == len(keys(primary))


@pytest.mark.parametrize("content", [SMALL, LARGE], ids=["small", "in-parts"])
@pytest.mark.parametrize("settings", ["no lists", "not public", "not allowed"])
def test_what_is_public_stays_away_while_it_could_not_be_so_at_home(
    cloud, refusing, caplog, settings, content
):
    # Given an output that the web app has made public on the secondary
    settler, _ = cloud
    made = stranded(settler, content)
    secondary = settler.stores.secondary
    secondary.set_access(made.key, Access.PUBLIC_READ)
    refusing(settings)

    # When it is to be healed into a bucket that refuses public objects
    report = heal(settler, FAST)

    # Then it is told by name, and the output is as it was where it was
    assert (0, 0, 1) == (report.copied, report.damaged, report.refused)
    [alarm] = [each for each in caplog.records if each.levelname == "ERROR"]
    assert ("healing_refused", job_of(made)) == (alarm.message, alarm.job)
    assert "access" in alarm.reason
    assert [] == keys(settler.stores.primary)
    assert "secondary" == status(settler, job_of(made)).result.outputs["original"].store
    assert Access.PUBLIC_READ == secondary.access(made.key)

    # And when somebody has decided that it need not be public, it comes home
    secondary.set_access(made.key, Access.PRIVATE)
    assert 1 == heal(settler, FAST, everything=True).copied
    assert "primary" == status(settler, job_of(made)).result.outputs["original"].store
