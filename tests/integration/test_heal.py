"""Healing: what failed over comes home, whoever dies, is out, or heals the same job meanwhile."""

import hashlib
import time
from dataclasses import replace

import pytest
from services.memory_stores import (
    CONTENT,
    Countdown,
    Died,
    enqueued,
    memory_stores,
    mortal,
    output,
    rejecting,
    storing,
)
from services.producers import after
from services.timed_ledger import brought_to, timed_ledger
from services.told_breaker import ToldBreakers

from uploadmill.backends.ledger import heal_queue
from uploadmill.backends.ledger.heal import Healer
from uploadmill.backends.ledger.heal_queue import HOLD
from uploadmill.backends.ledger.healing import Healed, find_stranded, foresee, heal
from uploadmill.backends.ledger.lookup import status
from uploadmill.backends.ledger.names import HEAL, JOB
from uploadmill.backends.ledger.settle import Settler
from uploadmill.backends.storage.features import Access
from uploadmill.errors import InvalidSettings
from uploadmill.ids import new_job_id
from uploadmill.job import JobState, Placement
from uploadmill.settings import HealSettings
from uploadmill.wire import OUTCOMES, RECALLED

DAY = 86_400.0
SHA256 = hashlib.sha256(CONTENT).hexdigest()
FAST = HealSettings(jobs_per_second=10_000)


@pytest.fixture
def stores(settler):
    return settler.stores


def stranded(settler):
    """A job whose outputs are on the secondary."""
    job = enqueued(settler)
    settler.settle(*storing(settler.stores, job, Placement.SECONDARY, SHA256))
    assert settler.ledger.read(job.id).location is Placement.SECONDARY
    return job


def healed(settler, **how):
    return heal(settler, FAST, **how)


def day_after(settler):
    settler.ledger.pass_time(DAY)


def keys(settler, job):
    stores = settler.stores
    return {output(stores, job, SHA256).key, stores.result_key(job.id)}


def where(settler, job):
    """What a producer is told."""
    return status(settler, job.id).result.outputs["original"].store


def queue(settler):
    return list(heal_queue.queued(settler.ledger))


def facts(store, key):
    stat = store.stat(key)
    return stat.sha256, stat.size, stat.content_type, stat.metadata, stat.cache_control


# -- the way home --------------------------------------------------------------------------


def test_there_may_be_nothing_to_heal(settler):
    assert healed(settler) == Healed()


def test_a_job_comes_home_and_its_copy_goes_after_the_grace(settler, stores):
    job = stranded(settler)

    assert healed(settler) == Healed(copied=1, bytes=len(CONTENT))

    assert where(settler, job) == "primary"
    assert stores.primary.keys() == stores.secondary.keys() == keys(settler, job)
    assert healed(settler) == Healed()

    day_after(settler)

    assert healed(settler) == Healed(cleared=1)
    assert stores.primary.keys() == keys(settler, job)
    assert stores.secondary.keys() == set()
    assert queue(settler) == []
    assert where(settler, job) == "primary"


def test_without_a_grace_one_run_does_all(redis_url):
    with timed_ledger(redis_url, heal_grace=0) as ledger:
        settler = Settler(ledger, memory_stores())
        job = stranded(settler)

        assert healed(settler) == Healed(copied=1, bytes=len(CONTENT), cleared=1)

        assert settler.stores.secondary.keys() == set()
        assert where(settler, job) == "primary"


def test_jobs_and_bytes_come_home_no_faster_than_they_may(settler, stores):
    for _ in range(3):
        stranded(settler)
    began = time.monotonic()

    assert heal(settler, HealSettings(jobs_per_second=10)).copied == 3
    after_jobs = time.monotonic()
    job = stranded(settler)
    size = stores.secondary.stat(stores.result_key(job.id)).size
    assert heal(settler, FAST.model_copy(update={"bytes_per_second": 4 * size})).copied == 1
    after_bytes = time.monotonic()

    assert after_jobs - began >= 0.2  # the first is free
    assert after_bytes - after_jobs >= 0.25  # all its bytes, before anybody is told of their end


def test_an_object_comes_home_with_all_its_facts(settler, stores):
    job = enqueued(settler)
    proposal, put = storing(stores, job, Placement.SECONDARY, SHA256)
    [(_, key)] = put
    stores.secondary.put(
        key,
        CONTENT,
        content_type="text/markdown",
        metadata={"job": job.id},
        cache_control="max-age=60",
    )
    settler.settle(proposal, put)

    stores.secondary.set_access(key, Access.PUBLIC_READ)

    healed(settler)

    for each in keys(settler, job):
        assert facts(stores.primary, each) == facts(stores.secondary, each)
    assert stores.primary.access(key) is Access.PUBLIC_READ
    assert stores.primary.access(stores.result_key(job.id)) is Access.PRIVATE


def test_a_job_stored_on_the_primary_is_left_alone(settler, stores):
    job = enqueued(settler)
    settler.settle(*storing(stores, job, Placement.PRIMARY, SHA256))

    assert healed(settler, everything=True) == Healed()

    assert stores.secondary.keys() == set()


def test_a_reader_finds_all_outputs_where_the_record_says_at_every_moment(settler, stores):
    job = stranded(settler)
    looks = []

    def look():
        store = stores.at(settler.ledger.read(job.id).location)
        looks.append(keys(settler, job) <= store.keys())

    for _ in range(2):
        for store in (stores.primary, stores.secondary):
            for call in ("put", "delete"):
                watched(store, call, look)
        healed(settler)
        day_after(settler)

    assert len(looks) >= 6
    assert all(looks)


def watched(target, method, then):
    original = getattr(target, method)

    def call(*arguments, **options):
        answer = original(*arguments, **options)
        then()
        return answer

    setattr(target, method, call)


def test_a_dry_run_tells_what_is_to_be_done_and_does_nothing(settler, stores):
    home, away = stranded(settler), stranded(settler)
    settler.ledger.relocate(home.id, Placement.SECONDARY, Placement.PRIMARY)
    before = settler.ledger.redis.zrange(HEAL, 0, -1, withscores=True)

    assert foresee(settler) == Healed(dry_run=True, copied=1, waiting=1, bytes=len(CONTENT))

    assert settler.ledger.redis.zrange(HEAL, 0, -1, withscores=True) == before
    assert stores.primary.keys() == set()
    assert where(settler, away) == "secondary"


# -- what is not as it should be -----------------------------------------------------------


@pytest.mark.parametrize("role", ["primary", "secondary"])
def test_a_store_that_is_out_is_waited_for(settler, stores, role):
    job = stranded(settler)
    getattr(stores, role).out = True

    report = healed(settler)

    assert (report.copied, len(report.unfinished)) == (0, 1)
    getattr(stores, role).out = False
    assert healed(settler).copied == 1
    assert where(settler, job) == "primary"


def test_a_store_that_commits_find_out_is_not_asked(settler, stores):
    stranded(settler)
    settler.stores = replace(stores, breakers=ToldBreakers(["primary"]))

    report = healed(settler)

    assert (report.copied, report.postponed, len(report.unfinished)) == (0, 0, 1)


def test_a_store_that_goes_out_is_not_asked_for_every_job(settler, stores, monkeypatch):
    for _ in range(8):
        stranded(settler)
    asked = []
    monkeypatch.setattr(stores.primary, "ping", lambda: setattr(stores.primary, "out", True))
    watched(settler.ledger, "read", lambda: asked.append(1))

    report = healed(settler)

    assert (report.postponed, len(report.unfinished), len(asked)) == (3, 1, 3)
    assert len(queue(settler)) == 8


def test_one_that_was_put_off_is_due_again_or_tried_by_hand(settler, stores):
    for_later = [stranded(settler) for _ in range(2)]
    stores.primary.full = True
    assert healed(settler).postponed == 2
    stores.primary.full = False
    assert healed(settler) == Healed()

    assert healed(settler, everything=True).copied == 2

    assert {where(settler, job) for job in for_later} == {"primary"}


def test_one_that_was_put_off_comes_back_by_itself(settler, stores):
    stranded(settler)
    stores.primary.full = True
    healed(settler)
    stores.primary.full = False
    settler.ledger.pass_time(HOLD)

    assert healed(settler).copied == 1


def test_a_run_ends_although_what_was_put_off_is_due_again_meanwhile(settler, monkeypatch):
    job = enqueued(settler)
    heal_queue.put(settler.ledger, [job.id], 0, only="new")
    heal_job, looks = Healer.heal, []

    def slowly(healer, job_id, *, due):
        looks.append(job_id)
        assert len(looks) < 5, "the run goes on for ever"
        did = heal_job(healer, job_id, due=due)
        settler.ledger.pass_time(HOLD)
        return did

    monkeypatch.setattr(Healer, "heal", slowly)

    assert healed(settler) == Healed(postponed=1)
    assert looks == [job.id]


def test_a_write_whose_reply_was_lost_does_no_harm(settler, stores):
    job = stranded(settler)
    stores.primary.unclear_writes = 1
    assert healed(settler).postponed == 1
    settler.ledger.pass_time(HOLD)

    assert healed(settler).copied == 1
    assert where(settler, job) == "primary"


def test_bytes_that_are_not_those_that_were_stored_stay_where_they_are(settler, stores):
    job = stranded(settler)
    stores.secondary.put(output(stores, job, SHA256).key, b"HELLO BYTES")

    assert healed(settler).damaged == 1

    assert where(settler, job) == "secondary"
    assert stores.primary.keys() == set()
    assert queue(settler) == [job.id]


def test_other_bytes_on_the_primary_are_never_overwritten(settler, stores):
    job = stranded(settler)
    key = output(stores, job, SHA256).key
    stores.primary.put(key, b"HELLO BYTES")

    assert healed(settler).damaged == 1

    assert stores.primary.read(key, 100) == b"HELLO BYTES"
    assert where(settler, job) == "secondary"


@pytest.mark.parametrize("change", ["other bytes", "no output", "no result"])
def test_a_copy_stays_if_the_primary_has_not_all_of_it(settler, stores, change):
    job = stranded(settler)
    healed(settler)
    key = output(stores, job, SHA256).key
    if change == "other bytes":
        stores.primary.put(key, b"HELLO BYTES")
    else:
        stores.primary.delete(stores.result_key(job.id) if change == "no result" else key)
    day_after(settler)

    assert healed(settler) == Healed(damaged=1)

    assert stores.secondary.keys() == keys(settler, job)


def test_bytes_that_rotted_on_the_primary_are_found_although_their_facts_are_right(settler, stores):
    job = stranded(settler)
    healed(settler)
    key = output(stores, job, SHA256).key
    rotten = stores.primary._objects[key]
    object.__setattr__(rotten, "content", b"HELLO BYTES")
    assert stores.primary.stat(key).sha256 == SHA256
    day_after(settler)

    assert healed(settler) == Healed(damaged=1)

    assert stores.secondary.keys() == keys(settler, job)


def test_nothing_is_deleted_where_both_stores_are_one(settler):
    stores = settler.stores
    settler.stores = replace(stores, primary=stores.secondary)
    job = stranded(settler)
    before = stores.secondary.keys()
    healed(settler)
    day_after(settler)

    with pytest.raises(InvalidSettings, match="same place"):
        healed(settler)

    assert stores.secondary.keys() == before
    assert len(keys(settler, job)) == 2


def test_an_upload_that_the_web_app_removes_meanwhile_stays_removed(settler, stores):
    job = stranded(settler)
    healed(settler)
    day_after(settler)
    watched(stores.secondary, "delete", lambda: stores.primary.delete(*keys(settler, job)))

    assert healed(settler) == Healed(cleared=1)

    assert stores.primary.keys() == stores.secondary.keys() == set()


def test_an_upload_that_the_web_app_has_removed_is_not_brought_back(settler, stores):
    job = stranded(settler)
    stores.secondary.delete(*keys(settler, job))

    assert healed(settler) == Healed(gone=1)

    assert stores.primary.keys() == set()
    assert queue(settler) == []


def test_a_job_of_which_a_part_is_missing_is_a_persons_business(settler, stores):
    job = stranded(settler)
    stores.secondary.delete(output(stores, job, SHA256).key)

    assert healed(settler) == Healed(damaged=1)

    assert queue(settler) == [job.id]


def test_documents_of_a_newer_version_are_left_to_a_newer_healer(settler, stores):
    job = stranded(settler)
    settler.ledger.redis.delete(JOB + job.id)
    stores.staging.put(f"{OUTCOMES}{job.id}.json", b'{"version": 9}')

    assert healed(settler) == Healed(postponed=1)


# -- a ledger that has forgotten -----------------------------------------------------------


def forget(settler, job):
    settler.ledger.redis.delete(JOB + job.id)


def test_a_record_that_has_expired_is_filled_again(settler):
    job = stranded(settler)
    forget(settler, job)

    assert healed(settler).copied == 1

    assert settler.ledger.read(job.id).location is Placement.PRIMARY


def test_a_grace_of_which_nobody_knows_when_it_began_begins_anew(settler, stores):
    job = stranded(settler)
    healed(settler)
    day_after(settler)
    forget(settler, job)

    assert healed(settler) == Healed(waiting=1)
    assert stores.secondary.keys() == keys(settler, job)

    day_after(settler)
    assert healed(settler) == Healed(cleared=1)


def test_a_result_outlives_record_and_outcome_and_is_healed(settler, stores):
    job = stranded(settler)
    forget(settler, job)
    stores.staging.delete(f"{OUTCOMES}{job.id}.json")

    assert healed(settler).copied == 1
    assert where(settler, job) == "primary"
    assert stores.secondary.keys() == keys(settler, job)

    day_after(settler)
    assert healed(settler) == Healed(cleared=1)
    assert where(settler, job) == "primary"


def test_a_job_that_is_open_is_not_touched(settler, stores, ledger):
    job = enqueued(settler)
    brought_to(ledger, job, "commit")
    proposal, _ = storing(stores, job, Placement.SECONDARY, SHA256)
    settler.decisions.decide(proposal)
    heal_queue.put(ledger, [job.id], 0, only="new")

    assert healed(settler) == Healed(postponed=1)

    assert stores.primary.keys() == set()


def test_a_redis_that_fell_back_is_brought_home_once_more(settler):
    job = stranded(settler)
    healed(settler)
    settler.ledger.redis.hset(JOB + job.id, "location", "secondary")
    settler.ledger.redis.zadd(HEAL, {job.id: 0})

    assert healed(settler) == Healed(copied=1)  # and no byte of it

    assert where(settler, job) == "primary"


def test_an_emptied_redis_learns_again_what_is_to_be_healed(settler, stores):
    jobs = [stranded(settler) for _ in range(3)]
    now = settler.ledger.now()
    settler.ledger.redis.flushdb()
    settler.ledger.redis.set("test:now", round(now * 1000))

    assert find_stranded(settler) == 3
    assert find_stranded(settler) == 0

    assert healed(settler).copied == 3
    assert {where(settler, job) for job in jobs} == {"primary"}
    assert len(stores.secondary.keys()) == 6


def test_a_copy_that_was_found_stays_for_a_whole_grace(settler, stores):
    job = stranded(settler)
    healed(settler)
    settler.ledger.redis.delete(HEAL)

    assert find_stranded(settler) == 1

    assert healed(settler, everything=True) == Healed(waiting=1)
    day_after(settler)
    assert healed(settler) == Healed(cleared=1)
    assert stores.secondary.keys() == set()
    assert where(settler, job) == "primary"


def test_what_a_broken_off_run_left_on_the_secondary_is_found(settler, stores):
    # Given a run that died in its commit, on the secondary, and a Redis that forgot about it
    job = enqueued(settler)
    storing(stores, job, Placement.SECONDARY, SHA256)
    settler.settle(*storing(stores, job, Placement.PRIMARY, SHA256))
    assert queue(settler) == []

    assert find_stranded(settler) == 1

    day_after(settler)
    assert healed(settler) == Healed(cleared=1)
    assert stores.secondary.keys() == set()
    assert stores.primary.keys() == keys(settler, job)


def left_in_vain(settler, job):
    """What runs have put into both stores, and under keys that are not ours."""
    stores = settler.stores
    ours = {stores.output_key(job.id, f"original-{'b' * 32}.txt"), output(stores, job).key}
    others = {stores.output_key(job.id, "logo.png"), f"media/{new_job_id()}/a-{'b' * 32}.txt"}
    for store in (stores.primary, stores.secondary):
        for key in ours | others:
            store.put(key, CONTENT)
    heal_queue.put(settler.ledger, [job.id], 0, only="new")
    return others


@pytest.mark.parametrize("forgotten", [False, True])
def test_all_outputs_of_a_job_go_that_ended_otherwise_than_stored(settler, stores, forgotten):
    job = enqueued(settler)
    settler.settle(rejecting(job))
    if forgotten:
        settler.ledger.redis.delete(JOB + job.id)
    others = left_in_vain(settler, job)

    assert healed(settler) == Healed(cleared=1)

    assert (others, others) == (stores.primary.keys(), stores.secondary.keys())
    assert queue(settler) == []


def test_of_a_stored_job_just_what_its_outcome_names_stays(settler, stores):
    job = enqueued(settler)
    settler.settle(*storing(stores, job, Placement.PRIMARY, SHA256))
    others = left_in_vain(settler, job)

    assert healed(settler) == Healed(cleared=1)

    assert keys(settler, job) | others == stores.primary.keys()
    assert others == stores.secondary.keys()


def test_nothing_of_an_open_job_is_taken_away(settler, stores):
    job = enqueued(settler)
    left_in_vain(settler, job)

    assert healed(settler) == Healed(postponed=1)

    assert (4, 4) == (len(stores.primary.keys()), len(stores.secondary.keys()))


def test_what_is_no_stored_job_of_ours_is_not_queued(settler, stores, ledger):
    running = enqueued(settler)
    brought_to(ledger, running, "commit")
    rejected = enqueued(settler)
    settler.settle(rejecting(rejected))
    at_home = enqueued(settler)
    settler.settle(*storing(stores, at_home, Placement.PRIMARY, SHA256))
    orphan = f"media/{new_job_id()}/original-{SHA256[:32]}.txt"
    for key in (
        output(stores, running, SHA256).key,
        output(stores, rejected, SHA256).key,
        stores.output_key(at_home.id, f"original-{'b' * 32}.txt"),
        orphan,
        "media/logo.png",
    ):
        stores.secondary.put(key, CONTENT)

    assert find_stranded(settler) == 0


def test_a_reader_who_finds_a_result_on_the_secondary_has_it_healed(settler, stores, ledger):
    job = stranded(settler)
    ledger.redis.delete(HEAL, JOB + job.id)
    stores.staging.delete(f"{OUTCOMES}{job.id}.json")

    assert where(settler, job) == "secondary"

    assert queue(settler) == [job.id]
    assert healed(settler).copied == 1


# -- recall --------------------------------------------------------------------------------


def test_a_job_whose_recall_was_marked_is_taken_back(settler, stores):
    job = stranded(settler)
    stores.staging.put(f"{RECALLED}{job.id}.json", b"{}")

    assert healed(settler) == Healed(recalled=1, bytes=len(CONTENT))

    assert stores.primary.keys() == set()
    assert queue(settler) == []


def test_a_job_that_is_recalled_behind_the_look_is_taken_back(settler, stores, ledger):
    job = stranded(settler)

    def recall():
        ledger.redis.hset(JOB + job.id, "location", "recalled")

    with after(stores.staging, "exists", recall, RECALLED):
        assert healed(settler).recalled == 1

    assert stores.primary.keys() == set()
    assert ledger.read(job.id).location is Placement.RECALLED


def test_a_recalled_job_is_not_healed(settler, stores, ledger):
    job = stranded(settler)
    ledger.redis.hset(JOB + job.id, "location", "recalled")

    assert healed(settler) == Healed(recalled=1)

    assert stores.primary.keys() == set()


# -- deaths, and several at once -----------------------------------------------------------


def ground(ledger):
    """Jobs at each point of the way, and the settler of a healthy process."""
    settler = Settler(ledger, memory_stores())
    away, home = stranded(settler), stranded(settler)
    forgotten = stranded(settler)
    healed_before(settler, home)
    forget(settler, forgotten)
    return settler, (away, home, forgotten)


def healed_before(settler, job):
    """The job is at home, and its grace is over."""
    for key in sorted(keys(settler, job), key=lambda key: key.endswith("result.json")):
        settler.stores.primary.put(key, settler.stores.secondary.read(key, 100_000))
    settler.ledger.relocate(job.id, Placement.SECONDARY, Placement.PRIMARY)
    settler.ledger.redis.zadd(HEAL, {job.id: 0})


def all_home(settler, jobs):
    for job in jobs:
        assert status(settler, job.id).state is JobState.STORED
        assert where(settler, job) == "primary"
        assert keys(settler, job) <= settler.stores.primary.keys()
    assert settler.stores.secondary.keys() == set()
    assert queue(settler) == []


def whole_everywhere(settler, jobs):
    """No store has a result without its outputs, and the outputs are where the record says."""
    stores = settler.stores
    for job in jobs:
        for store in (stores.primary, stores.secondary):
            if store.exists(stores.result_key(job.id)):
                assert keys(settler, job) <= store.keys()
        record = settler.ledger.read(job.id)
        if record is not None:
            assert keys(settler, job) <= stores.at(record.location).keys()


def to_the_end(settler):
    for _ in range(3):
        healed(settler, everything=True)
        find_stranded(settler)
        day_after(settler)
    healed(settler)


def test_a_healer_that_died_anywhere_is_followed_by_another(ledger):
    finished, moment = False, 0
    while not finished:
        moment += 1
        settler, jobs = ground(ledger)
        try:
            healed(mortal(settler, Countdown(moment)))
            finished = True
        except Died:
            pass
        whole_everywhere(settler, jobs)
        to_the_end(settler)
        all_home(settler, jobs)
    assert moment > 30


@pytest.mark.parametrize("method", ["exists", "stat", "put", "list", "delete"])
@pytest.mark.parametrize("role", ["primary", "secondary"])
def test_two_healers_at_one_job_do_no_harm(ledger, role, method):
    settler, jobs = ground(ledger)
    store = getattr(settler.stores, role)

    with after(store, method, lambda: healed(settler, everything=True), "media/"):
        report = healed(settler, everything=True)

    assert (report.damaged, report.gone, report.unfinished) == (0, 0, [])
    whole_everywhere(settler, jobs)
    to_the_end(settler)
    all_home(settler, jobs)
