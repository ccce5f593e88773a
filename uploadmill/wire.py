"""What producers and workers must agree on: names, the one message, and broker options.

Plain data: nothing here imports Celery or Redis.
"""

from __future__ import annotations

from typing import Any, Final
from urllib.parse import urlsplit

#: The one message a producer or the sweeper sends; its only argument is the job id.
PROCESS_TASK: Final = "uploadmill.process"

#: The queue all workers read.
QUEUE: Final = "uploads"

#: How often RabbitMQ delivers one message again before it drops it. The ledger counts crashes;
#: this only ends messages that come back for other reasons.
DELIVERY_LIMIT: Final = 5

#: How kombu's addresses of a Redis begin.
_REDIS = ("redis", "rediss", "redis+socket", "unix", "socket")

#: What every key of the ledger starts with.
LEDGER_PREFIX: Final = "um:"

#: Folders of the staging store. Clients can presign only into the first.
UPLOADS: Final = "uploads/"
ENVELOPES: Final = "envelopes/"
OUTCOMES: Final = "outcomes/"
RECALLED: Final = "recalled/"

#: Seconds a producer waits for one answer of the broker or the ledger.
PRODUCER_TIMEOUT: Final = 1.0


def task_name(step: str) -> str:
    """The Celery task name of a step."""
    return f"uploadmill.{step}"


def is_redis(broker_url: str) -> bool:
    """Whether the broker is Redis or Valkey."""
    return urlsplit(broker_url).scheme in _REDIS


def queue_arguments(broker_url: str) -> dict[str, Any]:
    """How the queue is declared, by whoever comes first.

    RabbitMQ refuses everybody who declares a queue otherwise than it is, so these change only
    together with the queue's name.
    """
    if is_redis(broker_url):
        return {}
    return {"x-queue-type": "quorum", "x-delivery-limit": DELIVERY_LIMIT}


def producer_options(broker_url: str) -> dict[str, Any]:
    """Broker transport options with which a dead or frozen broker answers within a second.

    By default a publish to a frozen broker never returns, and a refused one takes two seconds.
    """
    options: dict[str, Any] = {
        "max_retries": 1,
        "interval_start": 0,
        "interval_step": 0,
        "interval_max": 0,
    }
    if is_redis(broker_url):
        options |= {
            "socket_timeout": PRODUCER_TIMEOUT,
            "socket_connect_timeout": PRODUCER_TIMEOUT,
            "socket_keepalive": True,
        }
    else:
        options |= {"confirm_publish": True, "read_timeout": 0.5, "write_timeout": 0.5}
    return options


def worker_options(broker_url: str, visibility_timeout: float) -> dict[str, Any]:
    """Broker transport options of a worker.

    ``visibility_timeout`` in seconds matters little: an unacknowledged message only wakes a
    worker once more, and the sweeper does that long before.
    """
    if not is_redis(broker_url):
        # Of its own accord a worker publishes only events. Waiting for their confirmation would
        # stop its event loop while RabbitMQ is short of memory.
        return {"read_timeout": 5.0, "write_timeout": 5.0}
    return {
        "visibility_timeout": visibility_timeout,
        # By default a lost message is looked for once in 100 s.
        "unacked_restore_interval": 1,
        "unacked_restore_throttle": 1,
        "socket_timeout": 5.0,
        "socket_connect_timeout": 5.0,
        "socket_keepalive": True,
        "health_check_interval": 25,
        "queue_order_strategy": "priority",
    }
