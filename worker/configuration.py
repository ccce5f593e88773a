"""Celery's settings, each with its reason."""

from __future__ import annotations

from typing import Any

from kombu import Connection, Exchange, Queue

from uploadmill.errors import InvalidSettings
from uploadmill.settings import Settings
from uploadmill.wire import QUEUE, queue_arguments, worker_options

#: Seconds that claiming, the ledger's calls and settling may take beside a job's steps.
MARGIN = 30.0


def hard_limit(settings: Settings) -> float:
    """Seconds after which Celery kills a child: the longest pipeline, every step at its limit.

    Raises:
        InvalidSettings: Above half the visibility timeout, a message would come back while its
            job may still be running.
    """
    from uploadmill.tasks.registry import expand  # noqa: PLC0415 - imports every decoder

    limits = {
        name: sum(float(str(step.options["time_limit"])) for step in expand(settings, name).steps)
        for name in settings.pipeline_names
    }
    name, longest = max(limits.items(), key=lambda item: item[1])
    limit = longest + MARGIN
    if limit > settings.worker.visibility_timeout / 2:
        raise InvalidSettings(
            f"the steps of pipeline {name!r} may take {longest:g} s; that and {MARGIN:g} s must be "
            f"at most half of worker.visibility_timeout ({settings.worker.visibility_timeout:g} s)"
        )
    return limit


def insist_on_broker(settings: Settings) -> None:
    """Let kombu read the broker's address; it connects to nothing.

    Raises:
        InvalidSettings: The address has options that kombu does not take.
    """
    try:
        Connection(settings.broker_url).release()
    except (TypeError, ValueError, KeyError):
        raise InvalidSettings(
            "broker_url (where unset, redis_url): behind its '?' is an option, or a value of one, "
            "that Celery cannot take"
        ) from None


def celery_settings(settings: Settings) -> dict[str, Any]:
    """Celery's configuration for a worker.

    Raises:
        InvalidSettings: There can be none, for its limits or its broker.
    """
    insist_on_broker(settings)
    return {
        # Celery itself lets CELERY_BROKER_URL win over everything but these two.
        "broker_read_url": settings.broker_url,
        "broker_write_url": settings.broker_url,
        "broker_transport_options": worker_options(
            settings.broker_url, settings.worker.visibility_timeout
        ),
        "broker_connection_retry_on_startup": True,
        # A worker outlives every outage of its broker; the default gives up after 100 attempts.
        "broker_connection_max_retries": None,
        # Seconds; a RabbitMQ that has vanished is noticed after two of them. Redis has none.
        "broker_heartbeat": 20,
        # Messages wake workers; the ledger is the queue. JSON, so that no message runs code.
        "accept_content": ["json"],
        "task_serializer": "json",
        "event_serializer": "json",
        "task_ignore_result": True,
        # A message is done when its run is; a lost one costs a sweep, not a job.
        "task_acks_late": True,
        # A file that kills its decoder would come back for ever; the ledger counts crashes.
        "task_reject_on_worker_lost": False,
        # One job at a time for each child: others can be taken by idle workers.
        "worker_prefetch_multiplier": 1,
        "task_time_limit": hard_limit(settings),
        # A misspelt queue is an error, not a queue that nobody reads.
        "task_create_missing_queues": False,
        "task_queues": [_queue(settings.broker_url)],
        "task_default_queue": QUEUE,
        "task_default_exchange": QUEUE,
        "task_default_routing_key": QUEUE,
        "worker_consumer": "uploadmill.worker.consumer:Consumer",
        # Children share two flags with the main process, made before the fork; macOS would spawn.
        "worker_pool_start_method": "fork",
        # What a task prints is not a log line.
        "worker_redirect_stdouts": False,
        # Memory that a decoder fragmented goes back to the system now and then.
        "worker_max_tasks_per_child": 10_000,
        "worker_cancel_long_running_tasks_on_connection_loss": False,
        "enable_utc": True,
    }


def _queue(broker_url: str) -> Queue:
    arguments = queue_arguments(broker_url)
    return Queue(QUEUE, Exchange(QUEUE), routing_key=QUEUE, queue_arguments=arguments)
