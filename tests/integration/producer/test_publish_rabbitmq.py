"""The one message on RabbitMQ: its queue, and brokers that refuse, hang or are short of memory."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable

import pytest
from services.producers import enqueue, memory_uploads
from services.rabbitmq import SETTLED
from services.waiting import eventually

from uploadmill.ids import new_job_id
from uploadmill.job import JobState
from uploadmill.producer.publish import Publisher
from uploadmill.wire import DELIVERY_LIMIT, PROCESS_TASK, QUEUE

#: Seconds a producer may be held up by its broker.
PATIENCE = 2.0


@pytest.fixture
def empty(rabbitmq):
    """The broker without the queue, as before anybody has come."""
    rabbitmq.delete(QUEUE)
    return rabbitmq


@pytest.fixture
def publisher(empty):
    publisher = Publisher(empty.url)
    yield publisher
    publisher.close()


def timed(call: Callable[[], object]) -> tuple[object, float]:
    began = time.monotonic()
    return call(), time.monotonic() - began


def test_a_producer_that_comes_first_declares_the_queue_as_workers_do(publisher, empty):
    job_id = new_job_id()
    assert publisher.publish(job_id)

    how = empty.queues()[QUEUE]
    assert how.startswith("quorum")
    assert f'{{"x-delivery-limit",{DELIVERY_LIMIT}}}' in how
    message = empty.take(QUEUE)
    assert (PROCESS_TASK, job_id) == (message.headers["task"], message.headers["id"])
    assert [job_id] == json.loads(message.body)[0]
    assert "application/json" == message.content_type


def test_a_queue_that_was_deleted_is_noticed_and_declared_again(publisher, empty):
    assert publisher.publish(new_job_id())
    empty.delete(QUEUE)

    assert not publisher.publish(new_job_id())
    assert publisher.publish(new_job_id())
    assert empty.take(QUEUE) is not None


@pytest.mark.parametrize("warm", [False, True])
def test_a_frozen_broker_costs_two_seconds_at_most_in_any_number_of_threads(publisher, empty, warm):
    if warm:
        assert publisher.publish(new_job_id())
    answers: list[bool] = []

    def publish() -> None:
        answers.append(publisher.publish(new_job_id()))

    threads = [threading.Thread(target=publish) for _ in range(20)]

    def all_of_them() -> None:
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

    with empty.frozen():
        _, took = timed(all_of_them)

    assert [False] * 20 == answers
    assert took < PATIENCE
    assert publisher.publish(new_job_id())  # and it recovers by itself


def test_a_broker_without_memory_costs_two_seconds_at_most(publisher, empty):
    assert publisher.publish(new_job_id())
    with empty.memory_alarm():
        answer, took = timed(lambda: publisher.publish(new_job_id()))
    assert not answer
    assert took < PATIENCE
    assert publisher.publish(new_job_id())


def test_a_message_outlives_a_power_cut_and_the_producer_finds_back(publisher, empty):
    job_id = new_job_id()
    assert publisher.publish(job_id)
    time.sleep(SETTLED)
    empty.kill()
    answer, took = timed(lambda: publisher.publish(new_job_id()))
    empty.start()

    assert not answer
    assert took < 0.5
    assert eventually(lambda: publisher.publish(new_job_id()))
    assert job_id == empty.take(QUEUE).headers["id"]


def test_an_upload_is_accepted_in_two_seconds_while_the_broker_hangs(redis_url, empty):
    with memory_uploads(redis_url, broker_url=empty.url) as uploads:
        enqueue(uploads, idempotency_key="warm")
        with empty.frozen():
            job, took = timed(lambda: enqueue(uploads))
        assert took < PATIENCE
        assert JobState.ACCEPTED == uploads.status(job.id).state
        # The ledger wakes it: it is among the jobs that somebody must look at.
        assert job.id in uploads._clients.ledger.redis.zrange("um:open", 0, -1)
