"""What waits in the broker's queue: a wake that is there already need not be sent again."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any, Protocol

import redis
from amqp.exceptions import NotFound
from kombu import Connection, Queue
from redis.backoff import NoBackoff
from redis.retry import Retry

from uploadmill.wire import PRODUCER_TIMEOUT, QUEUE, is_redis, producer_options

#: Messages looked at, because the foremost may be of jobs that have ended.
HEADS = 20


class Backlog(Protocol):
    """The head of the queue, as far as the broker shows it."""

    def heads(self) -> Sequence[str] | None:
        """The jobs of the messages that come next, the next one first.

        Returns:
            Nothing where no message waits, None where some do and nobody can see which.

        Raises:
            BacklogUnknown: The broker does not answer.
        """

    def close(self) -> None:
        """Give the connection back."""


class BacklogUnknown(Exception):
    """Raised when the broker does not answer: then nothing can be published either."""


class RedisBacklog:
    """The queue as kombu keeps it in Redis: a list, put in on the left, taken from the right."""

    def __init__(self, url: str) -> None:
        self._redis = redis.Redis.from_url(
            url,
            socket_timeout=PRODUCER_TIMEOUT,
            socket_connect_timeout=PRODUCER_TIMEOUT,
            retry=Retry(NoBackoff(), 0),
        )

    def heads(self) -> Sequence[str] | None:
        """The jobs of the messages that come next."""
        try:
            messages = self._redis.lrange(QUEUE, -HEADS, -1)
        except redis.RedisError as error:
            raise BacklogUnknown(type(error).__name__) from error
        ids = [_job_id(message) for message in reversed(messages)]
        # Messages of others, if there are any, wait in line all the same.
        return [job_id for job_id in ids if job_id] or (None if messages else [])

    def close(self) -> None:
        """Give the connection back."""
        self._redis.close()


class AmqpBacklog:
    """A queue that only tells how long it is; the ledger knows from claims how far it has come."""

    def __init__(self, url: str) -> None:
        self._url = url

    def heads(self) -> Sequence[str] | None:
        """Nothing or None: AMQP has no look at a message without taking it."""
        options = producer_options(self._url)
        try:
            with Connection(
                self._url, connect_timeout=PRODUCER_TIMEOUT, transport_options=options
            ) as connection:
                # Not a channel of its own: kombu connects for one by other rules than the options.
                queue = Queue(QUEUE)(connection.default_channel)
                declared: Any = queue.queue_declare(passive=True)
                waiting = declared.message_count
        except NotFound:  # the next wake declares it
            waiting = 0
        except Exception as error:  # transports have errors of their own
            raise BacklogUnknown(type(error).__name__) from error
        return None if waiting else []

    def close(self) -> None:
        """Nothing is kept open."""


def backlog_of(broker_url: str) -> Backlog:
    """The queue at *broker_url*."""
    return RedisBacklog(broker_url) if is_redis(broker_url) else AmqpBacklog(broker_url)


def _job_id(message: bytes | str) -> str | None:
    """The job that a message wakes a worker for; its task id is the job id."""
    try:
        job_id = json.loads(message)["headers"]["id"]
    except (ValueError, LookupError, TypeError):
        return None
    return job_id if isinstance(job_id, str) else None
