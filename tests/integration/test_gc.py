"""The collection: what it takes, what it leaves, beside whom it may run, where it may die."""

from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from uuid import uuid4

import pytest
from services.memory_stores import (
    CONTENT,
    Countdown,
    Died,
    enqueued,
    memory_stores,
    mortal,
    output,
    quarantining,
    rejecting,
    storing,
)
from services.producers import after, aged, enqueue, memory_uploads
from services.timed_ledger import OTHER_SHA256, SHA256, brought_to, claimed, new_job

from uploadmill.backends.ledger.decisions import upload_key
from uploadmill.backends.ledger.gc import collect, store_time
from uploadmill.backends.ledger.proposals import cancelled
from uploadmill.backends.ledger.settle import Settler
from uploadmill.errors import AcceptanceUnknown, StorageUnavailable
from uploadmill.ids import new_job_id, new_nonce
from uploadmill.job import Placement
from uploadmill.producer import staging as producers_staging
from uploadmill.settings import LedgerSettings
from uploadmill.wire import ENVELOPES, OUTCOMES, UPLOADS

DAY = 24
MONTH = 31 * DAY


@pytest.fixture
def staging(settler):
    return settler.stores.staging


def age(storage, hours, prefix=""):
    """Everything under *prefix* is that much older."""
    for stat in list(storage.list(prefix)):
        aged(storage, stat.key, hours=hours)


def age_all(settler, hours):
    for storage in stores_of(settler):
        age(storage, hours)


def stores_of(settler):
    stores = settler.stores
    return (stores.staging, stores.primary, stores.secondary, stores.quarantine)


def content_of(settler):
    return [storage.keys() for storage in stores_of(settler)]


def held(storage):
    return storage.keys()


def counts(report):
    return {kind: pile.count for kind, pile in report.piles.items()}


def swept(settler, **how):
    """What one collection that deletes has counted."""
    report = collect(settler, dry_run=False, **how)
    assert (report.dry_run, report.unfinished) == (False, [])
    return counts(report)


def staged(settler, key=None):
    """Bytes that nobody has enqueued."""
    key = key or new_job().staged.key
    settler.stores.staging.put(key, CONTENT)
    return key


# -- staged bytes --------------------------------------------------------------------------


def test_there_may_be_nothing_to_collect(settler):
    assert swept(settler) == {}

    assert content_of(settler) == [set()] * 4


def test_old_bytes_that_were_never_enqueued_go(settler, staging):
    old = staged(settler)
    age(staging, 2)
    fresh = staged(settler)
    age(staging, DAY - 1)

    report = collect(settler, dry_run=False)

    assert staging.keys() == {fresh}
    assert counts(report) == {"staged": 1}
    pile = report.piles["staged"]
    assert (pile.size, pile.sample) == (len(CONTENT), [old])


def test_a_dry_run_tells_the_same_and_deletes_nothing(settler, staging, caplog):
    for _ in range(12):
        staged(settler)
    age(staging, DAY + 1)
    before = staging.keys()

    report = collect(settler)

    assert (report.dry_run, staging.keys()) == (True, before)
    pile = report.piles["staged"]
    assert (pile.count, pile.size, len(pile.sample)) == (12, 12 * len(CONTENT), 10)
    assert "collected" not in [record.message for record in caplog.records]


def test_every_deletion_is_logged_before_it_happens(settler, staging, caplog):
    caplog.set_level("INFO", "uploadmill.gc")
    key = staged(settler)
    age(staging, DAY + 1)

    collect(settler, dry_run=False)

    [line] = [record for record in caplog.records if record.message == "collected"]
    assert (line.kind, line.store, line.keys) == ("staged", "staging", [key])


def test_bytes_that_an_envelope_names_stay_and_its_losers_go(settler, staging):
    job = enqueued(settler)
    staged(settler, upload_key(job.id, new_nonce()))
    age(staging, 20 * DAY)

    assert swept(settler) == {"staged": 1}

    assert staging.keys() == {job.staged.key, f"{ENVELOPES}{job.id}.json"}


def test_bytes_of_a_rejected_job_stay_as_long_as_its_outcome_says(settler, staging):
    job = enqueued(settler)
    settler.settle(rejecting(job))
    age(staging, DAY + 1)
    assert swept(settler) == {}
    assert job.staged.key in held(staging)

    proposal = rejecting(job).model_copy(update={"keep_until": datetime.now(UTC)})
    document = proposal.model_dump_json().encode()
    staging.put(f"{OUTCOMES}{job.id}.json", document)

    assert swept(settler) == {"staged": 1}
    assert staging.keys() == {f"{OUTCOMES}{job.id}.json"}


def test_bytes_left_by_a_clean_up_that_died_go(settler, staging):
    job = enqueued(settler)
    settler.settle(*storing(settler.stores, job))
    staged(settler, job.staged.key)
    age(staging, DAY + 1)

    assert swept(settler) == {"staged": 1}


@pytest.mark.parametrize(
    "key",
    [
        "uploads/7/holiday.jpg",
        "uploads/holiday.jpg",
        f"uploads/{new_job_id()}",
        f"uploads/{new_job_id()}/holiday.jpg",
        f"uploads/{new_job_id()}/{new_nonce()}/1",
        f"uploads/{uuid4()}/{new_nonce()}",
        f"drafts/{new_job_id()}/{new_nonce()}",
        f"{new_job_id()}/{new_nonce()}",
        f"outcomes/{new_job_id()}",
        "quarantine/x",
        "gc/clock",
    ],
)
def test_what_a_web_app_keeps_there_itself_is_not_ours(settler, staging, key):
    staged(settler, key)
    age(staging, 100 * DAY)

    assert swept(settler) == {}

    assert staging.keys() == {key}


def test_documents_of_a_newer_version_are_left_alone(settler, staging):
    job = enqueued(settler)
    staging.put(f"{ENVELOPES}{job.id}.json", b'{"version": 9}')
    other = staged(settler)
    age(staging, DAY + 1)

    report = collect(settler, dry_run=False)

    assert (report.unreadable, counts(report)) == (1, {"staged": 1})
    assert job.staged.key in held(staging)
    assert other not in held(staging)


def test_it_is_the_stores_clock_by_which_bytes_age(settler, staging, monkeypatch):
    key = staged(settler)
    put = staging.put

    def from_a_clock_that_is_behind(*arguments, **options):
        stat = put(*arguments, **options)
        return replace(stat, modified=stat.modified - timedelta(hours=DAY))

    monkeypatch.setattr(staging, "put", from_a_clock_that_is_behind)
    age(staging, DAY + 1)

    assert swept(settler) == {}

    assert staging.keys() == {key}
    assert datetime.now(UTC) - store_time(staging) > timedelta(hours=DAY - 1)


# -- beside producers and workers ----------------------------------------------------------


@contextmanager
def before(target, method, then):
    """In this block call *then* once, right before *method*."""
    original = getattr(target, method)

    def watched(*arguments, **options):
        setattr(target, method, original)
        then()
        return original(*arguments, **options)

    setattr(target, method, watched)
    try:
        yield
    finally:
        delattr(target, method)


def test_a_job_that_ends_between_the_looks_keeps_its_bytes(settler, staging):
    job = enqueued(settler)
    age(staging, DAY + 1)

    with before(settler.decisions, "envelope", lambda: settler.settle(rejecting(job))):
        assert swept(settler) == {}

    assert staging.keys() == {job.staged.key, f"{OUTCOMES}{job.id}.json"}


def test_a_job_that_is_worked_on_for_long_keeps_everything(settler, staging, ledger):
    job = enqueued(settler)
    brought_to(ledger, job, "commit")
    made = output(settler.stores, job)
    settler.stores.primary.put(made.key, CONTENT)
    age_all(settler, 3 * DAY)
    before_it = content_of(settler)

    assert swept(settler, orphans=True) == {}

    assert content_of(settler) == before_it


@pytest.fixture
def uploads(redis_url, settler):
    with memory_uploads(redis_url, settler.stores) as uploads:
        yield uploads


def slow(monkeypatch, hours):
    """The producer's own clock says that so much time has passed since it began to stage."""
    now = producers_staging.now
    monkeypatch.setattr(producers_staging, "now", lambda: now() + hours * 3600)


def staged_long_ago(uploads, staging, monkeypatch, hours=DAY + 1):
    own = uploads.stage(b"a photograph", pipeline="photo", idempotency_key="checkout-17")
    age(staging, hours)
    slow(monkeypatch, hours)
    return own


def test_a_slow_producer_whose_bytes_went_before_its_envelope_promises_nothing(
    uploads, settler, staging, monkeypatch
):
    own = staged_long_ago(uploads, staging, monkeypatch)
    assert swept(settler) == {"staged": 1}

    with pytest.raises(AcceptanceUnknown):
        uploads.accept(own)


def test_a_slow_producer_whose_envelope_comes_after_the_look_promises_nothing(
    uploads, settler, staging, monkeypatch
):
    own = staged_long_ago(uploads, staging, monkeypatch)
    unsure = []

    def accept():
        with pytest.raises(AcceptanceUnknown) as raised:
            uploads.accept(own)
        unsure.append(raised.value.job_id)

    with before(settler.decisions, "outcome", accept):
        assert swept(settler) == {"staged": 1}

    assert unsure == [own.id]


def test_a_producer_that_is_just_quick_enough_keeps_its_bytes(
    uploads, settler, staging, monkeypatch
):
    own = staged_long_ago(uploads, staging, monkeypatch, hours=11)
    with before(settler.decisions, "envelope", lambda: None):
        assert swept(settler) == {}

    uploads.accept(own)
    age(staging, 20 * DAY)

    assert swept(settler) == {}
    assert own.key in held(staging)


def test_a_joiner_does_not_trust_the_envelope_of_a_producer_whose_bytes_went(
    uploads, settler, staging, monkeypatch, redis_url
):
    with monkeypatch.context() as patched:
        own = staged_long_ago(uploads, staging, patched)

        def envelope_without_a_promise():
            with pytest.raises(AcceptanceUnknown):
                uploads.accept(own)

        with before(settler.decisions, "outcome", envelope_without_a_promise):
            assert swept(settler) == {"staged": 1}

    with pytest.raises(AcceptanceUnknown):
        enqueue(uploads)

    [left] = [key for key in held(staging) if key.startswith(UPLOADS)]
    assert left.startswith(f"{UPLOADS}{own.id}/")  # the joiner's own, not thrown away


def test_a_replay_that_comes_too_late_is_refused_and_one_in_time_is_safe(uploads, settler, staging):
    job = enqueue(uploads)
    settler.settle(rejecting(settler.decisions.envelope(job.id).job))
    age(staging, DAY + 1)
    replay = uploads.replay(job.id)
    standing = settler.decisions.envelope(replay.id).job.staged.key

    swept(settler)

    assert standing in held(staging)


# -- outcomes and what they do not name ----------------------------------------------------


def test_an_old_outcome_goes_and_what_it_names_stays(settler, staging):
    job = enqueued(settler)
    settler.settle(*storing(settler.stores, job))
    age_all(settler, MONTH)
    named = settler.stores.primary.keys()

    assert swept(settler) == {"outcomes": 1}

    assert staging.keys() == set()
    assert settler.stores.primary.keys() == named


def test_a_younger_outcome_stays(settler, staging):
    job = enqueued(settler)
    settler.settle(*storing(settler.stores, job))
    age_all(settler, 29 * DAY)

    assert swept(settler) == {}
    assert staging.keys() == {f"{OUTCOMES}{job.id}.json"}


def test_an_outcome_with_an_envelope_is_reconciles_business_first(settler, staging):
    job = enqueued(settler)
    settler.decisions.decide(storing(settler.stores, job)[0])
    age_all(settler, MONTH)

    assert swept(settler) == {}
    assert f"{OUTCOMES}{job.id}.json" in held(staging)


def test_what_an_old_outcome_does_not_name_goes(settler):
    job = enqueued(settler)
    stores = settler.stores
    settler.settle(*storing(stores, job))
    left = output(stores, job, OTHER_SHA256)
    for storage in (stores.primary, stores.secondary):
        storage.put(left.key, b"of a run that was killed")
    stores.primary.put(f"media/{job.id}/notes.txt", b"somebody else's")
    age_all(settler, MONTH)

    assert swept(settler) == {"outputs": 2, "outcomes": 1}

    named = {output(stores, job).key, stores.result_key(job.id)}
    assert stores.primary.keys() == named | {f"media/{job.id}/notes.txt"}
    assert stores.secondary.keys() == set()


def test_outputs_of_a_job_that_was_not_stored_go(settler):
    job = enqueued(settler)
    storing(settler.stores, job, Placement.SECONDARY)
    settler.settle(rejecting(job))
    settler.stores.staging.delete(job.staged.key)
    age_all(settler, MONTH)

    assert swept(settler) == {"outputs": 1, "outcomes": 1}
    assert settler.stores.secondary.keys() == set()


def test_a_result_that_was_never_published_is_published_first(settler):
    job = enqueued(settler)
    proposal, _ = storing(settler.stores, job)
    settler.decisions.decide(proposal)
    settler.stores.staging.delete(job.staged.key, f"{ENVELOPES}{job.id}.json")
    age_all(settler, MONTH)
    assert counts(collect(settler)) == {"outcomes": 1}
    assert settler.stores.result_key(job.id) not in held(settler.stores.primary)

    swept(settler)

    assert settler.stores.result_key(job.id) in held(settler.stores.primary)


def test_an_upload_that_the_web_app_has_removed_is_not_brought_back(settler):
    job = enqueued(settler)
    settler.settle(*storing(settler.stores, job))
    settler.stores.primary.delete(*settler.stores.primary.keys())
    age_all(settler, MONTH)

    assert swept(settler) == {"outcomes": 1}

    assert content_of(settler) == [set()] * 4


def healed(settler, *, whole=True):
    """A job stored on the secondary, of which the primary has a copy."""
    job = enqueued(settler)
    stores = settler.stores
    settler.settle(*storing(stores, job, Placement.SECONDARY))
    made = output(stores, job)
    with stores.secondary.open(stores.result_key(job.id)) as reader:
        stores.primary.put(stores.result_key(job.id), reader.read(10_000))
    stores.primary.put(made.key, CONTENT if whole else b"HELLO BYTES")
    age_all(settler, MONTH)
    return job


def test_copies_on_the_secondary_go_when_the_primary_is_whole(settler, monkeypatch):
    # The tests' outputs only claim their sha256.
    monkeypatch.setattr("uploadmill.backends.storage.hashing.HashingReader.sha256", SHA256)
    healed(settler)

    assert swept(settler) == {"outputs": 2, "outcomes": 1}

    assert settler.stores.secondary.keys() == set()
    assert len(settler.stores.primary.keys()) == 2


def test_copies_on_the_secondary_stay_when_the_primary_has_other_bytes(settler):
    healed(settler, whole=False)

    assert swept(settler) == {"outcomes": 1}

    assert len(settler.stores.secondary.keys()) == 2


def test_what_is_on_the_secondary_alone_stays(settler):
    job = enqueued(settler)
    settler.settle(*storing(settler.stores, job, Placement.SECONDARY))
    age_all(settler, MONTH)

    assert swept(settler) == {"outcomes": 1}
    assert len(settler.stores.secondary.keys()) == 2


def quarantined_copy(settler, job):
    settler.stores.quarantine.put(f"{job.id}/{SHA256}", b"infected")


def test_a_quarantined_job_keeps_its_copy(settler):
    job = enqueued(settler)
    quarantined_copy(settler, job)
    settler.settle(quarantining(job))
    age_all(settler, MONTH)

    assert swept(settler) == {"outcomes": 1}
    assert len(settler.stores.quarantine.keys()) == 1


def test_a_copy_of_a_job_that_was_cancelled_meanwhile_goes_and_nothing_beside_it(settler):
    job = enqueued(settler)
    quarantined_copy(settler, job)
    beside = f"{job.id}/report-of-an-analyst.txt"
    settler.stores.quarantine.put(beside, b"not ours")
    settler.cancel(job.id)
    settler.stores.staging.delete(job.staged.key)
    settler.stores.staging.put(f"{OUTCOMES}{job.id}", b"not ours: it does not end in .json")
    age_all(settler, MONTH)

    assert swept(settler) == {"quarantine": 1, "outcomes": 1}
    assert settler.stores.quarantine.keys() == {beside}
    assert settler.stores.staging.keys() == {f"{OUTCOMES}{job.id}"}


# -- what killed runs left ----------------------------------------------------------------


@pytest.mark.parametrize("placed", [Placement.PRIMARY, Placement.SECONDARY])
@pytest.mark.parametrize("end", [rejecting, lambda job: cancelled(job, LedgerSettings())])
def test_outputs_of_a_job_that_was_not_stored_go_after_two_days(settler, placed, end):
    job = enqueued(settler)
    storing(settler.stores, job, placed)
    settler.settle(end(job))
    age(settler.stores.at(placed), 2 * DAY - 1)
    assert swept(settler) == {}

    age(settler.stores.at(placed), 2 * DAY + 1)

    assert swept(settler) == {"outputs": 1}
    assert settler.stores.at(placed).keys() == set()
    assert f"{OUTCOMES}{job.id}.json" in held(settler.stores.staging)


def test_outputs_left_in_the_other_store_go_unless_the_outcome_names_them(settler):
    job, stores = enqueued(settler), settler.stores
    settler.settle(*storing(stores, job))
    named, other = output(stores, job), output(stores, job, OTHER_SHA256)
    for made in (named, other):
        stores.secondary.put(made.key, CONTENT)
    age_all(settler, 3 * DAY)
    at_home = stores.primary.keys()

    assert swept(settler) == {"outputs": 1}

    assert stores.secondary.keys() == {named.key}, "which is healing's business"
    assert stores.primary.keys() == at_home


def test_what_goes_with_an_old_outcome_is_told_once(settler):
    job = enqueued(settler)
    storing(settler.stores, job, Placement.SECONDARY)
    settler.settle(rejecting(job))
    settler.stores.staging.delete(job.staged.key)
    age_all(settler, MONTH)

    assert counts(collect(settler)) == swept(settler) == {"outputs": 1, "outcomes": 1}


# -- orphans -------------------------------------------------------------------------------


def orphan(settler, placed=Placement.PRIMARY):
    made = output(settler.stores, new_job())
    settler.stores.at(placed).put(made.key, CONTENT)
    return made.key


@pytest.mark.parametrize("placed", [Placement.PRIMARY, Placement.SECONDARY])
def test_outputs_nobody_knows_of_are_told_and_go_on_demand(settler, placed):
    key = orphan(settler, placed)
    age_all(settler, 3 * DAY)

    assert swept(settler) == {"orphans": 1}
    assert settler.stores.at(placed).keys() == {key}

    assert swept(settler, orphans=True) == {"orphans": 1}
    assert settler.stores.at(placed).keys() == set()


def test_outputs_that_may_have_an_owner_stay(settler, ledger):
    stores = settler.stores
    orphan(settler)  # too fresh
    age_all(settler, DAY)
    with_envelope, with_outcome, with_record = enqueued(settler), enqueued(settler), new_job()
    settler.settle(*storing(stores, with_outcome, Placement.SECONDARY))  # it is being healed
    ledger.accept(with_record, "c" * 64)
    claimed(ledger, with_record)
    elsewhere = new_job()
    stores.secondary.put(stores.result_key(elsewhere.id), b"{}")
    for job in (with_envelope, with_outcome, with_record, elsewhere):
        stores.primary.put(output(stores, job).key, CONTENT)
        age(stores.primary, 3 * DAY, f"media/{job.id}/")
    for key in ("media/logo.png", f"media/{new_job_id()}/logo.png", f"{new_job_id()}/x"):
        stores.primary.put(key, b"not ours")
        aged(stores.primary, key, hours=100 * DAY)
    before_it = stores.primary.keys()

    assert swept(settler, orphans=True) == {}

    assert stores.primary.keys() == before_it


def test_outputs_whose_result_is_healed_between_the_looks_stay(settler):
    # Given outputs on the primary, whose result is still on the secondary: they are being healed
    stores, job = settler.stores, new_job()
    key, result = output(stores, job).key, stores.result_key(job.id)
    stores.primary.put(key, CONTENT)
    stores.secondary.put(result, b"{}")
    age_all(settler, 3 * DAY)

    def move():
        stores.primary.put(result, b"{}")
        stores.secondary.delete(result)

    # When a healer that grants no grace ends between a collection's two looks for it
    with before(stores.secondary, "stat", move):
        found = swept(settler, orphans=True)

    # Then the outputs have an owner all the time
    assert {} == found
    assert {key, result} == stores.primary.keys()


# -- outages and deaths --------------------------------------------------------------------


def test_a_store_that_is_out_ends_only_its_own_part(settler):
    key = orphan(settler, Placement.SECONDARY)
    staged(settler)
    age_all(settler, 3 * DAY)
    settler.stores.primary.out = True

    report = collect(settler, dry_run=False, orphans=True)

    assert counts(report) == {"staged": 1}
    assert [part.split(":")[0] for part in report.unfinished] == [
        "outputs in primary",
        "outputs in secondary",  # the primary may have its result
    ]
    assert settler.stores.secondary.keys() == {key}


def test_without_the_staging_store_there_is_no_collection(settler):
    settler.stores.staging.out = True

    with pytest.raises(StorageUnavailable):
        collect(settler)


def ground(settler):
    """One of each."""
    rejected, stored, cancelled = (enqueued(settler) for _ in range(3))
    settler.settle(*storing(settler.stores, stored))
    settler.stores.secondary.put(output(settler.stores, stored, OTHER_SHA256).key, CONTENT)
    quarantined_copy(settler, cancelled)
    settler.cancel(cancelled.id)
    settler.settle(rejecting(rejected))
    settler.stores.staging.delete(rejected.staged.key, cancelled.staged.key)
    age_all(settler, MONTH)
    staged(settler)
    orphan(settler)
    age_all(settler, 3 * DAY)


def test_a_collection_that_died_anywhere_is_finished_by_the_next(ledger):
    whole = Settler(ledger, memory_stores())
    ground(whole)
    assert swept(whole, orphans=True) == {
        "staged": 1,
        "outputs": 1,
        "quarantine": 1,
        "outcomes": 3,
        "orphans": 1,
    }
    expected = [len(keys) for keys in content_of(whole)]
    finished, moment = False, 0
    while not finished:
        moment += 1
        settler = Settler(ledger, memory_stores())
        ground(settler)
        try:
            collect(mortal(settler, Countdown(moment)), dry_run=False, orphans=True)
            finished = True
        except Died:
            swept(settler, orphans=True)
        assert [len(keys) for keys in content_of(settler)] == expected, f"after call {moment}"
    assert moment > 20


def test_two_collections_at_once_do_no_harm(settler):
    ground(settler)

    with after(settler.stores.staging, "list", lambda: swept(settler, orphans=True), OUTCOMES):
        report = collect(settler, dry_run=False, orphans=True)

    assert report.unfinished == []
    assert settler.stores.staging.keys() == set()
    assert len(settler.stores.primary.keys()) == 2
