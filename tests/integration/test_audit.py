"""The audit finds everything that is wrong, nothing that is right, and changes nothing."""

from __future__ import annotations

import hashlib
import json
import tracemalloc
from contextlib import closing
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from click.testing import CliRunner
from services.memory_stores import (
    CONTENT,
    enqueued,
    memory_stores,
    output,
    rejecting,
    storing,
)
from services.timed_ledger import OTHER_SHA256, brought_to

from uploadmill.backends.ledger.audit import Audited, audit
from uploadmill.backends.ledger.healing import heal
from uploadmill.backends.ledger.ledger import Ledger
from uploadmill.backends.ledger.names import HEAL, JOB
from uploadmill.backends.ledger.settle import Settler
from uploadmill.backends.storage import stores_from
from uploadmill.backends.storage.memory import MemoryStorage
from uploadmill.backends.storage.objects import ObjectStat
from uploadmill.backends.storage.unfinished import UnfinishedUpload
from uploadmill.ids import new_job_id
from uploadmill.job import Placement
from uploadmill.settings import HealSettings
from uploadmill.wire import OUTCOMES
from uploadmill.worker.cli import main

PRIMARY, SECONDARY = Placement.PRIMARY, Placement.SECONDARY
SHA256 = hashlib.sha256(CONTENT).hexdigest()


@pytest.fixture
def stores(settler):
    return settler.stores


def stored(settler, placed=PRIMARY):
    job = enqueued(settler)
    settler.settle(*storing(settler.stores, job, placed, SHA256))
    return job


def key_of(settler, job):
    return output(settler.stores, job, SHA256).key


def audited(settler, **how):
    """What was found, as kind, store and key; and the sum."""
    *found, report = audit(settler, **how)
    assert isinstance(report, Audited)
    assert report.ok is not bool(found)
    return sorted((finding.kind, finding.store, finding.key) for finding in found), report


def found(settler, **how):
    return audited(settler, **how)[0]


def forget(settler, job, *, outcome=False):
    settler.ledger.redis.delete(JOB + job.id)
    if outcome:
        settler.stores.staging.delete(f"{OUTCOMES}{job.id}.json")


# -- nothing is wrong ----------------------------------------------------------------------


@pytest.mark.parametrize("verify", [False, True])
def test_all_is_well(settler, ledger, verify):
    stored(settler)
    stored(settler, SECONDARY)
    forget(settler, stored(settler))
    forget(settler, stored(settler), outcome=True)
    settler.settle(rejecting(enqueued(settler)))
    enqueued(settler)

    nothing, report = audited(settler, verify=verify)

    assert nothing == []
    assert (report.jobs, report.verified) == (5, verify)
    assert report.objects == {"primary": 6, "secondary": 2}


def test_a_job_that_was_healed_may_lie_in_both_for_a_while(settler):
    stored(settler, SECONDARY)
    heal(settler, HealSettings())

    assert found(settler) == []


def test_what_somebody_works_on_is_not_looked_at(settler, stores, ledger):
    with_record, forgotten = enqueued(settler), enqueued(settler)
    brought_to(ledger, with_record, "commit")
    forget(settler, forgotten)
    for job in (with_record, forgotten):
        stores.primary.put(key_of(settler, job), CONTENT)

    assert found(settler) == []


def test_what_others_keep_there_is_not_ours(settler, stores):
    for key in ("media/logo.png", f"media/{new_job_id()}/logo.png", f"{new_job_id()}/result.json"):
        stores.primary.put(key, b"not ours")

    nothing, report = audited(settler)

    assert (nothing, report.jobs) == ([], 0)


def test_a_job_that_ends_while_we_look_is_no_finding(settler, stores, monkeypatch):
    job = enqueued(settler)
    proposal, put = storing(stores, job, PRIMARY, SHA256)
    forget(settler, job)
    look = settler.decisions.envelope

    def ends(job_id):
        monkeypatch.setattr(settler.decisions, "envelope", look)
        settler.settle(proposal, put)
        return look(job_id)

    monkeypatch.setattr(settler.decisions, "envelope", ends)

    assert found(settler) == []


# -- something is wrong --------------------------------------------------------------------


@pytest.mark.parametrize("left", ["record", "outcome", "result"])
def test_an_output_that_is_missing_is_found_by_whatever_tells_of_it(settler, stores, left):
    job = stored(settler)
    stores.primary.delete(key_of(settler, job))
    if left != "record":
        forget(settler, job, outcome=left == "result")

    assert found(settler) == [("no_object", "primary", key_of(settler, job))]


def test_a_job_of_which_nothing_is_left_but_its_outcome_is_found(settler, stores):
    job = stored(settler)
    stores.primary.delete(*stores.primary.keys())

    assert [kind for kind, _, _ in found(settler)] == ["no_object", "no_object"]
    assert {key for _, _, key in found(settler)} == {
        key_of(settler, job),
        stores.result_key(job.id),
    }


@pytest.mark.parametrize("placed", [PRIMARY, SECONDARY])
def test_an_object_of_which_nothing_tells_is_found(settler, stores, placed):
    stored(settler)
    orphan = f"media/{new_job_id()}/original-{SHA256[:32]}.txt"
    stores.at(placed).put(orphan, CONTENT)

    assert found(settler) == [("no_record", placed, orphan)]


def test_what_an_outcome_does_not_name_is_found(settler, stores):
    job, rejected, cancelled = stored(settler), enqueued(settler), enqueued(settler)
    settler.settle(rejecting(rejected))
    settler.cancel(cancelled.id)
    left = [output(stores, job, OTHER_SHA256).key]
    left += [key_of(settler, each) for each in (rejected, cancelled)]
    for key in left:
        stores.primary.put(key, CONTENT)
    expected = {("no_record", "primary", key) for key in left}

    assert set(found(settler)) == expected
    for each in (rejected, cancelled):
        forget(settler, each)
    assert set(found(settler)) == expected, "by their outcomes"
    for each in (rejected, cancelled):
        forget(settler, each, outcome=True)
    assert set(found(settler)) == expected, "by nothing"


@pytest.mark.parametrize("content", [b"HELLO BYTES", b"cut"])
def test_other_bytes_are_found_by_the_facts_that_the_store_keeps(settler, stores, content):
    job = stored(settler)
    stores.primary.put(key_of(settler, job), content)

    assert found(settler) == [("wrong_digest", "primary", key_of(settler, job))]


def test_bytes_that_rotted_are_found_by_reading_them(settler, stores):
    job = stored(settler)
    rotten = stores.primary._objects[key_of(settler, job)]
    object.__setattr__(rotten, "content", b"HELLO BYTES")

    assert found(settler) == []
    assert found(settler, verify=True) == [("wrong_digest", "primary", key_of(settler, job))]


def test_a_copy_that_nobody_is_going_to_remove_is_found(settler, stores, ledger):
    job = stored(settler, SECONDARY)
    heal(settler, HealSettings())
    ledger.redis.delete(HEAL)

    expected = {("both", "secondary", key) for key in stores.secondary.keys()}  # noqa: SIM118
    assert set(found(settler)) == expected
    assert key_of(settler, job) in {key for _, _, key in expected}


def test_a_job_that_nobody_is_going_to_bring_home_is_found(settler, stores, ledger):
    stored(settler, SECONDARY)
    ledger.redis.delete(HEAL)

    assert {kind for kind, _, _ in found(settler)} == {"not_queued"}


def test_a_document_of_a_newer_version_is_told(settler, stores):
    job = stored(settler)
    forget(settler, job)
    stores.staging.put(f"{OUTCOMES}{job.id}.json", b'{"version": 9}')

    assert found(settler) == [("unreadable", "staging", f"{OUTCOMES}{job.id}.json")]


JOB_ID = new_job_id()


class WithParts(MemoryStorage):
    """A store in which uploads by parts were begun."""

    def unfinished(self, prefix=""):
        for hours in (23, 25):
            begun = datetime.now(UTC) - timedelta(hours=hours)
            for key in (f"{JOB_ID}/large-{hours:032}.bin", f"theirs-of-{hours}-hours"):
                yield UnfinishedUpload(prefix + key, "id", begun)

    def abort(self, _):
        raise AssertionError("an audit changes nothing")


def test_parts_of_an_upload_of_ours_that_was_broken_off_are_found(ledger):
    settler = Settler(ledger, replace(memory_stores(), primary=WithParts("primary")))

    assert found(settler) == [("parts", "primary", f"media/{JOB_ID}/large-{25:032}.bin")]


def test_nothing_is_changed(settler, stores, ledger):
    job = stored(settler)
    stores.primary.delete(key_of(settler, job))
    stores.secondary.put(key_of(settler, job), b"other")
    before = [store.keys() for store in (stores.staging, stores.primary, stores.secondary)]
    keys = sorted(ledger.redis.keys())

    assert found(settler)

    after = [store.keys() for store in (stores.staging, stores.primary, stores.secondary)]
    assert (after, sorted(ledger.redis.keys())) == (before, keys)


class Endless(MemoryStorage):
    """A store of many outputs, none of which it keeps: it makes them up as they are listed."""

    many = 0

    def list(self, prefix=""):
        of_one = prefix.removeprefix("media/").rstrip("/")
        every = (f"01a206f9-7d32-7de8-8966-{number:012x}" for number in range(self.many))
        for job_id in [of_one] if of_one else every:
            key = f"media/{job_id}/original-{SHA256[:32]}.txt"
            yield ObjectStat(key, 11, "etag", datetime.now(UTC), sha256=SHA256)


def test_many_objects_take_no_more_memory_than_few(ledger):
    store = Endless("primary")
    settler = Settler(ledger, replace(memory_stores(), primary=store))

    def peak(jobs):
        store.many = jobs
        tracemalloc.start()
        count = sum(1 for _ in audit(settler))
        _, most = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        return count, most

    peak(10)  # whatever is made on first use
    few, less = peak(300)
    many, more = peak(1200)

    assert (few, many) == (301, 1201)
    # Nine hundred listed objects kept would be 600 kB.
    assert more < less + 150_000


# -- the command ---------------------------------------------------------------------------


def test_the_command_tells_what_is_wrong_and_ends_with_1(settings):
    with closing(Ledger(settings.redis_url, settings.ledger)) as ledger:
        settler = Settler(ledger, stores_from(settings))
        job = stored(settler)
        right = CliRunner().invoke(main, ["storage", "audit"])
        settler.stores.primary.delete(key_of(settler, job))

    assert right.exit_code == 0, right.output
    assert "primary: 2 objects" in right.stdout
    assert "Nothing is wrong." in right.stdout

    wrong = CliRunner().invoke(main, ["storage", "audit", "--verify"])
    assert wrong.exit_code == 1
    assert f"no_object: primary/{key_of(settler, job)}" in wrong.stderr
    assert "1  no_object  a record" in wrong.stdout

    document = json.loads(CliRunner().invoke(main, ["storage", "audit", "--json"]).stdout)
    assert not document["ok"]
    assert document["piles"]["no_object"]["count"] == 1
    assert document["objects"] == {"primary": 1, "secondary": 0}
