"""One process at a time, by a lock in Redis that only saves work."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress

import redis


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


def _renew(lock: redis.lock.Lock, over: threading.Event, every: float) -> None:
    while not over.wait(every):
        with suppress(redis.RedisError):
            lock.reacquire()
