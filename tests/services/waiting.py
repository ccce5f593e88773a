"""Wait for what another process does."""

from __future__ import annotations

import time
from collections.abc import Callable

#: Seconds after which what a test waits for is not coming: many times what a busy machine needs.
PATIENCE = 120.0


def eventually(condition: Callable[[], object], seconds: float = PATIENCE) -> bool:
    """Whether *condition* comes true in time."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if condition():
            return True
        time.sleep(0.02)
    return False
