"""Files that kill or hang the process that decodes them."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path
from typing import Any

from uploadmill.tasks import validate

KILLS = b"POISON that kills\n"
HANGS = b"POISON that hangs\n"


def put_in() -> None:
    """Let the decoder look at a file's first line, and do as it says."""
    original = validate.validate

    def decode(source: Path, *args: Any, **options: Any) -> Any:
        with source.open("rb") as file:
            line = file.readline()
        if line == KILLS:
            os.kill(os.getpid(), signal.SIGKILL)
        if line == HANGS:
            time.sleep(3600)
        return original(source, *args, **options)

    validate.validate = decode
