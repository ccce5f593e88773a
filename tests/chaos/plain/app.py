"""A bare Celery application, set to be as careful as Celery can be on Redis.

Its one task writes down, in the file that ``PLAIN_NOTES`` names, that it ran.
"""

from __future__ import annotations

import os

from celery import Celery

app = Celery("plain", broker=os.environ["PLAIN_BROKER"])
app.conf.update(
    task_acks_late=True,
    task_reject_on_worker_lost=True,
    task_ignore_result=True,
    # By default a message that comes back is looked for once in a hundred seconds.
    broker_transport_options={"unacked_restore_interval": 1, "unacked_restore_throttle": 1},
    broker_connection_retry_on_startup=True,
)

#: How a note is written: lines of one length, so that their number can be told from the size.
LINE = "{:07d}\n"


@app.task
def tiny(number: int) -> None:
    """Nothing but a note."""
    descriptor = os.open(os.environ["PLAIN_NOTES"], os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    os.write(descriptor, LINE.format(number).encode())
    os.close(descriptor)
