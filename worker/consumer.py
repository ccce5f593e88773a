"""Celery's consumer without its machinery for delayed messages, and harder to kill."""

from __future__ import annotations

import logging

from celery.worker.consumer import Consumer as CeleryConsumer

log = logging.getLogger("uploadmill.worker")


class Consumer(CeleryConsumer):
    """Takes messages. On quorum queues Celery would also keep 28 exchanges and queues for ETAs."""

    class Blueprint(CeleryConsumer.Blueprint):  # type: ignore[misc, valid-type] # stubs
        """The steps of its start."""

        default_steps = [  # noqa: RUF012 - the attribute is Celery's
            step
            for step in CeleryConsumer.Blueprint.default_steps
            if "delayed_delivery" not in str(step)
        ]

    def on_connection_error_after_connected(self, exc: Exception) -> None:
        """Let go of a broken connection, whatever that breaks.

        Where Redis went away without a word, kombu first takes a channel's transport and then
        closes the channel, which asks it for its address. That would end the worker.
        """
        try:
            super().on_connection_error_after_connected(exc)
        except AttributeError as error:
            log.warning("broken_connection_left", extra={"reason": str(error)})
