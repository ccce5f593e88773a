"""The queue of the wakes in RabbitMQ: it may be there, and take and give nothing."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing

from amqp.exceptions import NotFound, PreconditionFailed
from kombu import Connection, Exchange, Queue

from uploadmill.ids import new_job_id
from uploadmill.producer.publish import Publisher
from uploadmill.settings import Settings
from uploadmill.wire import QUEUE, is_redis, producer_options, queue_arguments
from uploadmill.worker.checks.finding import Finding, fault, good

#: Seconds to wait for one answer.
TIMEOUT = 2.0

#: Seconds after which RabbitMQ may drop the wake that is sent to try it, if no worker takes it.
TRIED_FOR = 1.0

DELETE = (
    f"stop the workers, `rabbitmqctl delete_queue {QUEUE}`, start them again: they declare it "
    "anew, and the sweeper wakes every open job"
)


def check_queue(settings: Settings) -> Iterator[Finding]:
    """RabbitMQ's queue is what workers declare, and a wake for a job of nobody can be sent to it.

    A list in Redis can be neither missing nor wrong.
    """
    url = settings.broker_url
    if is_redis(url):
        return
    try:
        declared = _is_declared(url)
    except PreconditionFailed:
        what = f"the queue {QUEUE!r} was declared otherwise than workers declare it"
        yield fault("queue", what, "no worker takes a job", DELETE)
        return
    except Exception:  # noqa: BLE001 - the check of the broker says what it is
        return
    if not declared:
        yield good("queue", f"there is no {QUEUE!r} yet: the first worker or wake declares it")
        return
    with closing(Publisher(url)) as publisher:
        taken = publisher.publish(new_job_id(), lasting=TRIED_FOR)
    if taken:
        yield good("queue", f"{QUEUE!r} is declared as workers do, and took a wake")
        return
    yield fault(
        "queue",
        f"the queue {QUEUE!r} is there, and RabbitMQ does not confirm a message to it",
        "workers hear of no job: all of them stand still",
        "look for an alarm (`rabbitmqctl status`); if there is none, the queue has no leader "
        f"(`rabbitmqctl list_queues name state leader`), as after a power cut: {DELETE}",
    )


def _is_declared(url: str) -> bool:
    """Whether it is there.

    Raises:
        PreconditionFailed: It is there with other arguments than ours.
    """
    options = producer_options(url)
    with Connection(url, connect_timeout=TIMEOUT, transport_options=options) as connection:
        try:
            Queue(QUEUE)(connection.default_channel).queue_declare(passive=True)
        except NotFound:
            return False
    with Connection(url, connect_timeout=TIMEOUT, transport_options=options) as connection:
        arguments = queue_arguments(url)
        queue = Queue(QUEUE, Exchange(""), routing_key=QUEUE, queue_arguments=arguments)
        queue(connection.default_channel).queue_declare()
    return True
