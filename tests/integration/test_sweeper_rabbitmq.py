"""The sweeper beside a long queue on a real RabbitMQ, which tells how long it is, and no more."""

from __future__ import annotations

import time
from collections import Counter, deque
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress

import pytest
from amqp import Channel, Message
from kombu import Connection
from services.timed_ledger import NODE, accepted

from uploadmill.backends.ledger.answers import Go
from uploadmill.backends.ledger.ledger import Ledger
from uploadmill.ids import new_nonce
from uploadmill.producer.publish import Publisher
from uploadmill.settings import LedgerSettings
from uploadmill.wire import QUEUE
from uploadmill.worker.backlog import AmqpBacklog
from uploadmill.worker.sweeper import Sweeper

MANY = 10_000

#: Messages that are brought before the first of them is done with.
PREFETCHED = 20

#: Seconds between two looks of a sweeper; each look at the queue is a connection of its own.
SWEEP = 0.5

#: Seconds for which a consumer waits for the next message at once.
PAUSE = 0.1

#: Seconds without a message after which the queue counts as worked off.
IDLE = 5.0

CONSTANTS = LedgerSettings(publish_grace=0.5, lease=600)


class Wakes:
    """The queue as the product declares it; nobody waits until a message is confirmed."""

    def __init__(self, channel: Channel) -> None:
        self._channel = channel
        self._taken: deque[Message] = deque()

    def send(self, *job_ids: str) -> None:
        for job_id in job_ids:
            message = Message("", application_headers={"id": job_id}, delivery_mode=2)
            self._channel.basic_publish(message, routing_key=QUEUE)

    def take(self) -> str | None:
        """The job of the next message; None where none comes for a while."""
        if not self._taken:
            with suppress(TimeoutError):
                self._channel.connection.drain_events(timeout=PAUSE)
        if not self._taken:
            return None
        message = self._taken.popleft()
        self._channel.basic_ack(message.delivery_tag)
        return str(message.headers["id"])

    def listen(self) -> None:
        """Have messages brought, a few at a time, as a worker has."""
        self._channel.basic_qos(0, PREFETCHED, a_global=False)
        self._channel.basic_consume(QUEUE, callback=self._taken.append)


@pytest.fixture
def wakes(rabbitmq) -> Iterator[Wakes]:
    rabbitmq.delete(QUEUE)
    with closing(Publisher(rabbitmq.url)) as publisher:
        publisher.publish("declares it")
    rabbitmq.take(QUEUE)
    with Connection(rabbitmq.url) as connection:
        waiting = Wakes(connection.default_channel)
        waiting.listen()
        yield waiting
    rabbitmq.delete(QUEUE)


@contextmanager
def sweeping(redis_url: str, amqp_url: str, woken: Counter[str]) -> Iterator[None]:
    """Two workers' sweepers look on while the block lasts."""
    with (
        Connection(amqp_url) as first,
        Connection(amqp_url) as second,
        closing(Ledger(redis_url, CONSTANTS)) as ledger,
    ):

        def publishing(queue: Wakes):
            def publish(job_id: str) -> bool:
                woken[job_id] += 1
                queue.send(job_id)
                return True

            return publish

        sweepers = [
            Sweeper(ledger, AmqpBacklog(amqp_url), publishing(Wakes(each.default_channel)), SWEEP)
            for each in (first, second)
        ]
        for sweeper in sweepers:
            sweeper.start()
        yield
        for sweeper in sweepers:
            sweeper.stop()


@pytest.mark.usefixtures("unmeasured")
def test_ten_thousand_waiting_jobs_are_hardly_woken_again(redis_url, rabbitmq, wakes):
    # Given as many jobs as messages
    with closing(Ledger(redis_url, CONSTANTS)) as ledger:
        wakes.send(*(accepted(ledger).id for _ in range(MANY)))
        woken: Counter[str] = Counter()

        # When they are taken one after the other, and two sweepers look on
        with sweeping(redis_url, rabbitmq.url, woken):
            taken, idle = 0, time.monotonic()
            while taken < MANY and time.monotonic() - idle < IDLE:
                job_id = wakes.take()
                if job_id is not None:
                    taken += isinstance(ledger.claim(job_id, NODE, new_nonce()), Go)
                    idle = time.monotonic()

    # Then every job runs, and hardly one was woken again
    assert MANY == taken
    assert woken.total() < MANY / 100
