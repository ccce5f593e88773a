"""A producer at work beside what else happens."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence

from chaos.corpus import Upload


class Submission(threading.Thread):
    """Hands uploads to *submit*, one after another."""

    def __init__(
        self, submit: Callable[[Upload], object], uploads: Sequence[Upload], pause: float
    ) -> None:
        super().__init__(name="producer", daemon=True)
        self.submit = submit
        self.uploads = uploads
        self.pause = pause
        self.error: Exception | None = None

    def run(self) -> None:
        try:
            for upload in self.uploads:
                self.submit(upload)
                time.sleep(self.pause)
        except Exception as error:  # noqa: BLE001 - raised again where the block ends
            self.error = error
