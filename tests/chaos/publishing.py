"""A broker that loses, doubles, shuffles and delays messages."""

# ruff: noqa: S311 - chance keeps no secret here
from __future__ import annotations

import random
import threading

from uploadmill.producer.publish import Publisher

_real = Publisher.publish


def put_in(drop: float = 0.0, copies: int = 1, delay: float = 0.0) -> None:
    """Change how this process publishes.

    Args:
        drop: The part of all messages that vanishes, as if it had been taken.
        copies: Each message is sent between once and so many times.
        delay: Each copy waits up to so many seconds, which shuffles them too.
    """

    def publish(self: Publisher, job_id: str) -> bool:
        for _ in range(random.randint(1, copies)):
            if random.random() < drop:
                continue
            if not delay:
                _real(self, job_id)
                continue
            timer = threading.Timer(random.uniform(0, delay), _real, (self, job_id))
            timer.daemon = True
            timer.start()
        return True

    Publisher.publish = publish  # type: ignore[method-assign]


def take_out() -> None:
    """Publish as ever."""
    Publisher.publish = _real  # type: ignore[method-assign]
