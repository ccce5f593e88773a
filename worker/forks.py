"""Children are forked while no thread of the main process is in the middle of something.

A fork copies every lock as it is, and the thread that would unlock it is not copied. Celery and
kombu have locks for the whole process: on a Celery application's parts, and Python's own on the
import of librabbitmq, which kombu tries for each connection to RabbitMQ. A child that was forked at
such a moment stands still at its first connection, for ever.
"""

from __future__ import annotations

import os
import threading

#: Held by a thread of the main process while it uses the broker; a fork waits for it.
NO_FORK = threading.RLock()

os.register_at_fork(
    before=NO_FORK.acquire, after_in_parent=NO_FORK.release, after_in_child=NO_FORK.release
)
