"""Whether the jobs are worked off; the hours that Celery keeps a killed worker's messages pass."""

from __future__ import annotations

from contextlib import suppress

import redis
from kombu import Connection

from chaos.book import Book
from chaos.leftovers import UNACKED, UNACKED_INDEX, waiting_lists
from chaos.places import Places
from uploadmill.backends.ledger.names import OPEN
from uploadmill.wire import ENVELOPES

#: Celery's lock of whoever takes messages back; a killed worker's is held for five minutes.
UNACKED_MUTEX = "unacked_mutex"


def drained(places: Places, book: Book) -> bool:
    """Whether all jobs have ended, and everything of theirs was cleared away."""
    if places.shelves["staging"].states(ENVELOPES) or places.queued():
        return False
    with (
        suppress(redis.RedisError),
        redis.Redis.from_url(places.redis_url, decode_responses=True, socket_timeout=2) as client,
    ):
        if client.zcard(OPEN) or not all(entry.ended for entry in book.accepted):
            return False
        let_hours_pass(client)
        # A message on its way back from there into a queue is in one of the two at each look.
        left = client.exists(UNACKED, UNACKED_INDEX) or waiting_lists(client)
        return not left and not any(any((at / "jobs").glob("*")) for at in places.workspaces)
    return False


def let_hours_pass(client: redis.Redis) -> None:
    """The visibility timeout is over: messages of killed workers come back, to be dropped."""
    client.delete(UNACKED_MUTEX)
    for message in client.zrange(UNACKED_INDEX, 0, -1):
        client.zadd(UNACKED_INDEX, {message: 0}, xx=True)


def queued_in(url: str, queue: str) -> int:
    """How many messages wait in a broker that is no Redis."""
    with Connection(url) as connection:
        return int(connection.default_channel.queue_declare(queue, passive=True).message_count)
