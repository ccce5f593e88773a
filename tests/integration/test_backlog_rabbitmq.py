"""What the sweeper sees of a queue in RabbitMQ: whether anything waits, and where it has come."""

from __future__ import annotations

import time
from contextlib import closing

import pytest
from services.timed_ledger import accepted, claimed, finished, timed_ledger
from services.waiting import eventually

from uploadmill.ids import new_job_id
from uploadmill.producer.publish import Publisher
from uploadmill.wire import QUEUE
from uploadmill.worker.backlog import BacklogUnknown, backlog_of
from uploadmill.worker.sweeper import Sweeper


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


def test_a_wake_that_rabbitmq_lost_is_sent_again_when_the_queue_is_past_it(
    backlog, rabbitmq, redis_url
):
    with closing(Publisher(rabbitmq.url)) as publisher, timed_ledger(redis_url) as ledger:
        # Given three jobs, each with a wake in the queue, of which the first is lost
        jobs = []
        for _ in range(3):
            job = accepted(ledger)
            assert eventually(lambda job=job: publisher.publish(job.id))
            jobs.append(job)
            ledger.pass_time(2)
        assert eventually(lambda: backlog.heads() is None)
        assert jobs[0].id == rabbitmq.take(QUEUE).headers["id"]
        sent: list[str] = []
        sweeper = Sweeper(ledger, backlog, lambda job_id: not sent.append(job_id), 1)
        ledger.pass_time(60)
        sweeper.sweep()
        assert [] == sent

        # When a worker takes the second
        assert jobs[1].id == rabbitmq.take(QUEUE).headers["id"]
        claimed(ledger, jobs[1])
        finished(ledger, jobs[1])

        # Then the first one is woken again, a minute later at most, and the third is not
        ledger.pass_time(60)
        sweeper.sweep()
        assert [jobs[0].id] == sent
