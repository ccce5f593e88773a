"""``uploadmill check`` looks at RabbitMQ's queue itself: it may be there and take nothing."""

from __future__ import annotations

from contextlib import closing

import pytest
from kombu import Connection, Queue
from services.waiting import eventually

from uploadmill.producer.publish import Publisher
from uploadmill.settings import Settings
from uploadmill.wire import QUEUE
from uploadmill.worker.checks.finding import Finding, Level
from uploadmill.worker.checks.queue import check_queue

#: Ends the Erlang process that leads the queue, and whatever would start it again: what is left
#: after a power cut that came too soon after the declaration.
STOP_LEADER = 'ra:stop_server(quorum_queues, {binary_to_atom(<<"%2F_uploads">>), node()}).'


@pytest.fixture(autouse=True)
def _fresh(rabbitmq):
    rabbitmq.delete(QUEUE)
    yield
    rabbitmq.delete(QUEUE)


def found(url: str) -> Finding:
    (finding,) = check_queue(Settings(broker_url=url))
    return finding


def declared(rabbitmq) -> None:
    """Have the queue declared, empty, and fit to take messages.

    One whose predecessor was deleted a moment ago does not always take the first.
    """
    with closing(Publisher(rabbitmq.url)) as publisher:
        assert eventually(lambda: publisher.publish("job-1"))
    assert rabbitmq.take(QUEUE) is not None
    while rabbitmq.take(QUEUE) is not None:
        pass


def test_a_queue_that_nobody_has_declared_is_right_and_stays_so(rabbitmq):
    assert Level.OK is found(rabbitmq.url).level
    assert QUEUE not in rabbitmq.queues()


def test_a_queue_that_takes_messages_is_right_and_keeps_none(rabbitmq):
    declared(rabbitmq)
    finding = found(rabbitmq.url)
    assert (Level.OK, "'uploads' is declared as workers do, and took a wake") == (
        finding.level,
        finding.what,
    )
    assert eventually(lambda: waiting(rabbitmq) == 0)


def test_a_queue_without_a_leader_is_a_fault_that_says_how_to_mend_it(rabbitmq):
    # Given a queue that answers every declaration, and takes nothing
    declared(rabbitmq)
    rabbitmq.control("eval", STOP_LEADER)

    finding = found(rabbitmq.url)

    assert Level.FAULT is finding.level
    assert "does not confirm a message" in finding.what
    assert "rabbitmqctl delete_queue uploads" in finding.how

    # And after that all is well
    rabbitmq.delete(QUEUE)
    declared(rabbitmq)
    assert Level.OK is found(rabbitmq.url).level


def test_a_queue_of_another_kind_is_a_fault(rabbitmq):
    with Connection(rabbitmq.url) as connection:
        Queue(QUEUE, durable=True)(connection.default_channel).queue_declare()
    finding = found(rabbitmq.url)
    assert Level.FAULT is finding.level
    assert "declared otherwise" in finding.what


def test_a_broker_that_is_out_is_the_business_of_its_own_check():
    assert [] == list(check_queue(Settings(broker_url="amqp://127.0.0.1:1//")))


def test_redis_has_no_such_queue(redis_url):
    assert [] == list(check_queue(Settings(broker_url=redis_url)))


def waiting(rabbitmq) -> int:
    with Connection(rabbitmq.url) as connection:
        return Queue(QUEUE)(connection.default_channel).queue_declare(passive=True).message_count
