"""``make chaos-storage``: play the scenarios, print a table, and last one line of JSON."""

# ruff: noqa: T201, S311 - a program that prints; seeds keep no secret
from __future__ import annotations

import argparse
import json
import random
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from chaos.storage.playing import Campaign, Row
from chaos.storage.scenarios import CONTROLS, SCENARIOS

COLUMNS = "{:<20} {:>5} {:>7} {:>7} {:>12} {:>12} {:>13} {:>18} {:>8}"
HEADINGS = (
    "scenario",
    "jobs",
    "faults",
    "stored",
    "failed over",
    "wrong place",
    "wrong digest",
    "left on secondary",
    "took s",
)

#: How many violations of a scenario are printed.
SHOWN = 10


def main(arguments: Sequence[str] | None = None) -> int:
    options = parse(arguments)
    every = {**SCENARIOS, **CONTROLS}
    names = options.only.split(",") if options.only else list(every)
    seed = random.randrange(2**32) if options.seed is None else options.seed
    folder = options.folder or Path(tempfile.mkdtemp(prefix="chaos-storage-"))
    print(f"seed {seed}, {'short' if options.short else 'long'} form, files in {folder}")
    print(COLUMNS.format(*HEADINGS))
    rows = {}
    chosen = {name: every[name] for name in names}
    for name, row in Campaign(folder, seed, options.short).play(chosen):
        rows[name] = row
        tell(name, row)
    print(json.dumps(summary(rows)))
    return 0 if as_it_must_be(rows) else 1


def parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="chaos.storage", description=__doc__)
    parser.add_argument("--short", action="store_true", help="a minute, few jobs")
    parser.add_argument("--only", help="names of scenarios, with commas")
    parser.add_argument("--seed", type=int)
    parser.add_argument("--folder", type=Path, help="where logs and stores are left")
    return parser.parse_args(arguments)


def tell(name: str, row: Row) -> None:
    """A row of the table, as soon as it is known."""
    places = (row.wrong_place, row.wrong_digest, row.left_on_secondary, row.seconds)
    print(COLUMNS.format(name, row.jobs, row.faults, row.stored, row.failed_over, *places))
    for violation in row.violations[:SHOWN]:
        print(f"    {violation}")
    sys.stdout.flush()


def summary(rows: dict[str, Row]) -> dict[str, dict[str, dict[str, int]]]:
    """The numbers, for machines."""
    names = ("jobs", "stored", "wrong_place", "wrong_digest", "left_on_secondary")
    told = {name: {each: getattr(row, each) for each in names} for name, row in rows.items()}
    return {
        "scenarios": {name: told[name] for name in told if name in SCENARIOS},
        "controls": {name: told[name] for name in told if name in CONTROLS},
    }


def as_it_must_be(rows: dict[str, Row]) -> bool:
    """Everything stored, in its place, and home; and the control found something."""
    return all(
        _found_something(row)
        if name in CONTROLS
        else _all_home(row, lasting=SCENARIOS[name].lasting)
        for name, row in rows.items()
    )


def _found_something(row: Row) -> bool:
    """Whether a control came to its end, and nothing is wrong there but what it is to find."""
    came_to_its_end = 0 < row.jobs == row.stored and row.faults > 0 and row.failed_over > 0
    return came_to_its_end and row.wrong_digest == 0 < row.left_on_secondary


def _all_home(row: Row, *, lasting: bool) -> bool:
    return (
        0 < row.jobs == row.stored
        and row.faults > 0
        and (row.failed_over > 0 or not lasting)
        and row.wrong_place == row.wrong_digest == row.left_on_secondary == 0
    )


if __name__ == "__main__":
    sys.exit(main())
