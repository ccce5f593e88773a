"""``make bench``: measure everything, print a table, and as the last line one JSON object."""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
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


def parts(folder: Path, *, short: bool) -> dict[str, Callable[[], Iterator[Figure]]]:
    """What can be measured, in the order in which all of it is."""
    pairs = 2 if short else 8
    return {
        "steps": lambda: empty_steps.measure(folder / "steps", pairs, 100 if short else 300),
        "photo": lambda: photo.measure(folder / "photo", pairs, 3 if short else 8),
        "memory": lambda: memory.measure(folder / "memory", document=not short),
        "producer": lambda: producer.measure(
            folder / "producer", 3 if short else 9, 20 if short else 200
        ),
        "ledger": lambda: ledger.measure(
            folder / "ledger", pairs, 50 if short else 200, short=short
        ),
        "storage": lambda: storage.measure(folder / "storage", pairs, short=short),
        "counting": lambda: counting.measure(folder / "counting"),
        "endurance": lambda: endurance.measure(folder / "endurance", short=short),
    }


def main(arguments: Sequence[str] | None = None) -> None:
    names = list(parts(Path(), short=True))
    parser = argparse.ArgumentParser(prog="benchmarks", description=__doc__)
    parser.add_argument(
        "--short", action="store_true", help="few and small batches, without the large document"
    )
    parser.add_argument("--only", default=",".join(names), help="parts, with commas: %(default)s")
    options = parser.parse_args(arguments)
    only = options.only.split(",")
    if unknown := set(only) - set(names):
        parser.error(f"no such part: {', '.join(unknown)}; there are {', '.join(names)}")
    if sys.platform != "linux":
        sys.exit("the benchmarks read Linux' /proc")
    began = time.monotonic()
    figures = []
    with tempfile.TemporaryDirectory(prefix="uploadmill-bench-") as folder:
        measures = parts(Path(folder), short=options.short)
        for name in only:
            for figure in measures[name]():
                figures.append(figure)
                took = time.monotonic() - began
                print(f"{took:4.0f} s  {figure.name} {figure.value:.2f}", flush=True)
    print(f"\n{table(figures)}\n\n{as_json(figures)}")


if __name__ == "__main__":
    main()
