"""Wake a worker: the one message of the whole system, sent as well as it can be.

No promise rests on it. A message that is lost costs the seconds until the sweeper looks.
"""

from __future__ import annotations

import logging
from functools import cached_property
from typing import TYPE_CHECKING

from uploadmill.wire import (
    PROCESS_TASK,
    PRODUCER_TIMEOUT,
    QUEUE,
    producer_options,
    queue_arguments,
)

if TYPE_CHECKING:
    from celery import Celery
    from kombu import Queue
    from kombu.connection import ConnectionPool

log = logging.getLogger("uploadmill.publish")

#: Connections at most, more than a web server has threads: nobody queues for one behind a
#: broker that does not answer. They are made as needed.
CONNECTIONS = 64


class Publisher:
    """Sends ``uploadmill.process`` for jobs, to one broker.

    It forms messages with a Celery application of its own and sends them over connections of
    its own, so the host's application, its pools and its settings stay as they are. Make one
    per process.

    Args:
        broker_url: Celery's broker.
    """

    def __init__(self, broker_url: str) -> None:
        self._broker_url = broker_url

    def publish(self, job_id: str, *, lasting: float | None = None) -> bool:
        """Send one message; False, within two seconds, when the broker did not take it.

        Never raises. False does not mean that no message went out: a broker may answer late.
        RabbitMQ drops a message that nobody took in *lasting* seconds.
        """
        try:
            with self._connections.acquire(block=True, timeout=PRODUCER_TIMEOUT) as connection:
                self._app.send_task(
                    PROCESS_TASK,
                    args=[job_id],
                    task_id=job_id,
                    queue=self._queue,  # type: ignore[arg-type] # the stubs know names only
                    connection=connection,
                    ignore_result=True,
                    add_to_parent=False,
                    # RabbitMQ then says so when the queue it declared a while ago is gone.
                    mandatory=True,
                    expiration=lasting,
                )
        except Exception as error:  # noqa: BLE001 - whatever it is, the sweeper repeats it
            log.warning("publish_failed", extra={"job": job_id, "reason": type(error).__name__})
            return False
        return True

    def close(self) -> None:
        """Close the connections; a later call makes new ones."""
        pool = self.__dict__.pop("_connections", None)
        if pool is not None:
            pool.force_close_all()

    @cached_property
    def _app(self) -> Celery:
        from celery import Celery  # noqa: PLC0415 - a quarter of a second of CPU

        # Without a configuration of its own it would read the host's CELERY_CONFIG_MODULE; over
        # its back end the host's CELERY_RESULT_BACKEND would win.
        app = Celery("uploadmill.producer", set_as_current=False)
        app.backend_cls = "disabled"
        app.config_from_object(
            {
                "task_serializer": "json",
                "accept_content": ["json"],
                "task_publish_retry": False,
                "task_create_missing_queues": False,
                "task_ignore_result": True,
            }
        )
        return app

    @cached_property
    def _queue(self) -> Queue:
        from kombu import Exchange, Queue  # noqa: PLC0415

        # The nameless exchange leads to the queue of that name, and leaves no bindings in Redis.
        arguments = queue_arguments(self._broker_url)
        return Queue(QUEUE, Exchange(""), routing_key=QUEUE, queue_arguments=arguments)

    @cached_property
    def _connections(self) -> ConnectionPool:
        """Connections by our address: Celery's own would prefer CELERY_BROKER_URL.

        Not Celery's pools either, which are one set for all applications of a process.
        """
        from kombu import Connection  # noqa: PLC0415

        connection = Connection(
            self._broker_url,
            connect_timeout=PRODUCER_TIMEOUT,
            transport_options=producer_options(self._broker_url),
        )
        return connection.Pool(limit=CONNECTIONS)
