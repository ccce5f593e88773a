"""Two bytes that the main process and all its children see: made before the fork.

Celery tells its children nothing about a warm shutdown, nor whether events were asked for on
the command line; these flags reach them within milliseconds.
"""

from __future__ import annotations

import mmap


class Flag:
    """A boolean in shared memory, False at first."""

    def __init__(self) -> None:
        self._memory = mmap.mmap(-1, 1)

    def set(self, value: bool = True) -> None:  # noqa: FBT001, FBT002 - a flag is set to a boolean
        """Set it for this process and every process forked from it, before or later."""
        self._memory[0] = int(value)

    def __bool__(self) -> bool:
        return bool(self._memory[0])


#: This worker is stopping: give jobs back after the step that runs.
STOPPING = Flag()

#: This worker was told (``-E``) to send events: Flower wants to see the steps.
EVENTS = Flag()
