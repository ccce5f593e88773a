"""What the sweeper sees of a queue in RabbitMQ: whether anything waits there, and no more."""

from __future__ import annotations

import time

import pytest
from services.waiting import eventually

from uploadmill.ids import new_job_id
from uploadmill.producer.publish import Publisher
from uploadmill.wire import QUEUE
from uploadmill.worker.backlog import BacklogUnknown, backlog_of


@pytest.fixture
def backlog(rabbitmq):
    rabbitmq.delete(QUEUE)
    return backlog_of(rabbitmq.url)


def test_no_queue_is_a_queue_where_nothing_waits(backlog):
    assert [] == backlog.heads()


def test_messages_wait_until_they_are_taken(backlog, rabbitmq):
    publisher = Publisher(rabbitmq.url)
    publisher.publish(new_job_id())
    publisher.close()
    assert eventually(lambda: backlog.heads() is None)
    rabbitmq.take(QUEUE)
    assert eventually(lambda: [] == backlog.heads())


def test_a_broker_that_hangs_is_not_waited_for(backlog, rabbitmq):
    with rabbitmq.frozen():
        began = time.monotonic()
        with pytest.raises(BacklogUnknown):
            backlog.heads()
        assert time.monotonic() - began < 2
