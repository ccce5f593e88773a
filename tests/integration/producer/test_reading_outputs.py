"""A web app reads what a job stored, wherever it is."""

from __future__ import annotations

import hashlib

import pytest
from services.memory_stores import CONTENT, enqueued, rejecting, storing

from uploadmill.backends.ledger import heal_queue
from uploadmill.backends.ledger.heal import Healer
from uploadmill.backends.ledger.lookup import status
from uploadmill.backends.ledger.outputs import open_output
from uploadmill.errors import IntegrityError, JobNotEnded, ObjectNotFound, StorageUnavailable
from uploadmill.job import Placement
from uploadmill.settings import HealSettings

SHA256 = hashlib.sha256(CONTENT).hexdigest()


@pytest.fixture
def stores(settler):
    return settler.stores


def stored(settler, placed=Placement.PRIMARY):
    job = enqueued(settler)
    proposal, put = storing(settler.stores, job, placed, SHA256)
    settler.settle(proposal, put)
    return job.id, put[0][1]


def read(settler, job_id, name="original", **options):
    result = status(settler, job_id).result
    with open_output(settler, result, name, **options) as reader:
        return reader.read(100)


@pytest.mark.parametrize("placed", [Placement.PRIMARY, Placement.SECONDARY])
def test_an_output_is_read_where_its_record_says(settler, stores, ledger, placed):
    job_id, _ = stored(settler, placed)
    before = list(heal_queue.queued(ledger))

    assert CONTENT == read(settler, job_id, verify=True)
    assert CONTENT[2:5] == read(settler, job_id, start=2, length=3)
    assert before == list(heal_queue.queued(ledger))


def test_an_output_that_its_store_has_lost_is_read_from_the_other_and_noted(
    settler, stores, ledger
):
    job_id, key = stored(settler)
    stores.secondary.put(key, CONTENT)
    stores.primary.delete(key)

    assert CONTENT == read(settler, job_id)
    assert [job_id] == list(heal_queue.queued(ledger))


def test_a_healed_output_is_read_at_home_while_the_record_still_says_elsewhere(settler, stores):
    job_id, key = stored(settler, Placement.SECONDARY)
    result = status(settler, job_id).result
    assert "copied" == Healer(settler, HealSettings()).heal(job_id)
    stores.secondary.delete(key)

    with open_output(settler, result, "original") as reader:
        assert CONTENT == reader.read(100)


def test_a_store_that_is_out_is_passed_over(settler, stores):
    job_id, key = stored(settler)
    stores.secondary.put(key, CONTENT)
    stores.primary.out = True

    assert CONTENT == read(settler, job_id)


def test_not_there_is_said_only_when_both_have_answered(settler, stores):
    job_id, key = stored(settler)
    stores.primary.delete(key)
    with pytest.raises(ObjectNotFound):
        read(settler, job_id)

    stores.secondary.out = True
    with pytest.raises(StorageUnavailable, match="secondary"):
        read(settler, job_id)

    stores.secondary.out, stores.primary.out = False, True
    with pytest.raises(StorageUnavailable, match="primary"):
        read(settler, job_id)


def test_spoilt_bytes_are_found_on_request(settler, stores):
    job_id, key = stored(settler)
    found = stores.primary._objects[key]
    stores.primary.put(key, CONTENT[::-1])
    spoilt = stores.primary._objects[key]
    object.__setattr__(spoilt, "stat", found.stat)

    with pytest.raises(IntegrityError):
        read(settler, job_id, verify=True)


def test_an_output_that_never_was_is_named_with_those_there_are(settler):
    job_id, _ = stored(settler)
    with pytest.raises(ObjectNotFound, match="there are: original"):
        read(settler, job_id, "large")


def test_a_rejected_job_has_no_outputs(settler):
    job = enqueued(settler)
    settler.settle(rejecting(job))
    with pytest.raises(ObjectNotFound, match="rejected job; there are: none"):
        read(settler, job.id)


def test_a_web_app_opens_an_output_by_its_name(uploads):
    job = uploads.enqueue(CONTENT, pipeline="document", filename="a.txt")
    with pytest.raises(JobNotEnded), uploads.open(job.id, "original"):
        pass
    settler = uploads._clients.settler
    proposal, put = storing(settler.stores, settler.ledger.read(job.id).job, sha256=SHA256)
    settler.settle(proposal, put)

    with uploads.open(job.id, "original", start=1, verify=False) as stream:
        assert CONTENT[1:] == stream.read(100)
        assert len(CONTENT) == stream.stat.size
    with pytest.raises(ValueError, match="inside the 'with'"):
        stream.read(1)
