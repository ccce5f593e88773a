"""One process at a time, and seldom, by keys in Redis that only save work."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress

import redis
from redis.lock import Lock

#: Which part of the time between two looks of a worker nobody else looks.
QUIET = 0.7


#: Sets a key, unless the lock is not the caller's any more: it ran out, or Redis was emptied.
#: KEYS lock, key   ARGV the caller's token, value
_SET = """
if redis.call('GET', KEYS[1]) ~= ARGV[1] then return 0 end
redis.call('SET', KEYS[2], ARGV[2])
return 1
"""


class Held:
    """A lock that was taken.

    Args:
        client: The Redis in which it is held.
        lock: The lock.
    """

    def __init__(self, client: redis.Redis, lock: Lock) -> None:
        self._redis = client
        self._lock = lock

    def set(self, key: str, value: str) -> bool:
        """Set *key*, if the lock is still ours at that very moment; returns whether it is.

        Raises:
            redis.RedisError: Redis does not answer.
        """
        token = self._lock.local.token or b""
        return bool(self._redis.eval(_SET, 2, str(self._lock.name), key, token, value))


@contextmanager
def alone(client: redis.Redis, name: str, ttl: float) -> Iterator[Held | None]:
    """Hold the lock called *name* while the block lasts; None where somebody else has it.

    Args:
        client: The Redis in which it is held.
        name: Its key.
        ttl: Seconds after which the lock of a process that died is free. A living one renews it
            three times in that time; one that stands still for longer loses it.

    Raises:
        redis.RedisError: Redis does not answer.
    """
    lock = client.lock(name, timeout=ttl, blocking=False, thread_local=False)
    if not lock.acquire():
        yield None
        return
    over = threading.Event()
    renewing = threading.Thread(target=_renew, args=(lock, over, ttl / 3), daemon=True)
    renewing.start()
    try:
        yield Held(client, lock)
    finally:
        over.set()
        renewing.join()
        with suppress(redis.RedisError):
            lock.release()


def first_lately(client: redis.Redis, name: str, every: float) -> bool:
    """Whether nobody has asked under this *name* for most of *every* seconds.

    Raises:
        redis.RedisError: Redis does not answer.
    """
    return bool(client.set(name, 1, px=max(1, round(every * QUIET * 1000)), nx=True))


def _renew(lock: Lock, over: threading.Event, every: float) -> None:
    while not over.wait(every):
        with suppress(redis.RedisError):
            lock.reacquire()
