"""One process at a time, and seldom, by keys in Redis that only save work."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress

import redis

#: Which part of the time between two looks of a worker nobody else looks.
QUIET = 0.7


@contextmanager
def alone(client: redis.Redis, name: str, ttl: float) -> Iterator[bool]:
    """Hold the lock called *name* while the block lasts; False where somebody else has it.

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
        yield False
        return
    over = threading.Event()
    renewing = threading.Thread(target=_renew, args=(lock, over, ttl / 3), daemon=True)
    renewing.start()
    try:
        yield True
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


def _renew(lock: redis.lock.Lock, over: threading.Event, every: float) -> None:
    while not over.wait(every):
        with suppress(redis.RedisError):
            lock.reacquire()
