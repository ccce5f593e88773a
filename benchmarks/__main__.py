"""``make bench``: measure everything, print a table, and as the last line one JSON object.

``SHORT=1`` takes few and small batches, and leaves the large document out.
"""

from __future__ import annotations

import os
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from benchmarks import (
    counting,
    empty_steps,
    endurance,
    ledger,
    memory,
    photo,
    producer,
    storage,
)
from benchmarks.report import Figure, as_json, table

SHORT = bool(os.environ.get("SHORT"))


def measure(folder: Path, *, short: bool) -> Iterator[Figure]:
    """All figures, one after the other."""
    pairs = 2 if short else 8
    yield from empty_steps.measure(folder / "steps", pairs, 100 if short else 300)
    yield from photo.measure(folder / "photo", pairs, 3 if short else 8)
    yield from memory.measure(folder / "memory", document=not short)
    yield from producer.measure(folder / "producer", 3 if short else 9, 20 if short else 200)
    yield from ledger.measure(folder / "ledger", pairs, 50 if short else 200, short=short)
    yield from storage.measure(folder / "storage", pairs, short=short)
    yield from counting.measure(folder / "counting")
    yield from endurance.measure(folder / "endurance", short=short)


def main() -> None:
    if sys.platform != "linux":
        sys.exit("the benchmarks read Linux' /proc")
    began = time.monotonic()
    figures = []
    with tempfile.TemporaryDirectory(prefix="uploadmill-bench-") as folder:
        for figure in measure(Path(folder), short=SHORT):
            print(
                f"{time.monotonic() - began:4.0f} s  {figure.name} {figure.value:.2f}", flush=True
            )
            figures.append(figure)
    print(f"\n{table(figures)}\n\n{as_json(figures)}")


if __name__ == "__main__":
    main()
