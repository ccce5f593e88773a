"""Celery's consumer without its machinery for delayed messages, which are never sent here."""

from __future__ import annotations

from celery.worker.consumer import Consumer as CeleryConsumer


class Consumer(CeleryConsumer):
    """Takes messages. On quorum queues Celery would also keep 28 exchanges and queues for ETAs."""

    class Blueprint(CeleryConsumer.Blueprint):  # type: ignore[misc, valid-type] # stubs
        """The steps of its start."""

        default_steps = [  # noqa: RUF012 - the attribute is Celery's
            step
            for step in CeleryConsumer.Blueprint.default_steps
            if "delayed_delivery" not in str(step)
        ]
