"""``make chaos``: play the scenarios, print a table, and one JSON object as the last line."""

# ruff: noqa: T201, S311 - a program that prints; seeds keep no secret
from __future__ import annotations

import argparse
import json
import random
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from chaos.plain import measuring as plain_celery
from chaos.playing import start
from chaos.scenarios import CONTROLS, SCENARIOS

COLUMNS = "{:<18} {:>6} {:>7} {:>6} {:>8} {:>6} {:>8} {:>8}"
HEADINGS = ("scenario", "jobs", "faults", "lost", "doubled", "wrong", "worst s", "took s")

#: What is told of Celery alone; whatever it is, it is no fault of ours.
COMPARED = ("jobs", "lost", "doubled")

#: What each control must find, as its violations begin: of any other it is not the proof.
FINDS = {
    "sweeper_off": "lost: ",
    "outcome_off": "doubled: ",
    "look_off": "doubled: ",
    "heal_off": "wrong: secondary: ",
}

#: How many violations of a scenario are printed.
SHOWN = 10


def main(arguments: Sequence[str] | None = None) -> int:
    options = parse(arguments)
    names = options.only.split(",") if options.only else every(short=options.short)
    seed = random.randrange(2**32) if options.seed is None else options.seed
    folder = options.folder or Path(tempfile.mkdtemp(prefix="chaos-"))
    print(f"seed {seed}, {'short' if options.short else 'long'} form, files in {folder}")
    rows = campaign(names, folder, seed=seed, short=options.short, at_once=options.at_once)
    print(table(rows))
    print(json.dumps(summary(rows)))
    return 0 if as_it_must_be(rows) else 1


def every(*, short: bool) -> list[str]:
    """What is played; what Celery alone loses is measured in the long form."""
    return [*SCENARIOS, *CONTROLS, *([] if short else [plain_celery.NAME])]


def parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="chaos", description=__doc__)
    parser.add_argument("--short", action="store_true", help="a few minutes, 2 s lease")
    parser.add_argument("--only", help="names of scenarios, with commas")
    parser.add_argument("--seed", type=int)
    parser.add_argument("--folder", type=Path, help="where logs and stores are left")
    parser.add_argument("--at-once", type=int, default=2, help="scenarios side by side")
    return parser.parse_args(arguments)


def campaign(
    names: Sequence[str], folder: Path, *, seed: int, short: bool, at_once: int
) -> dict[str, dict[str, Any]]:
    """Play each in a process of its own; what servers it started end with it."""
    waiting, playing, rows = list(names), {}, {}
    while waiting or playing:
        while waiting and len(playing) < at_once:
            name = waiting.pop(0)
            playing[name] = start(name, folder / name, seed=seed, short=short)
        for name, process in list(playing.items()):
            if not process.is_alive():
                del playing[name]
                rows[name] = _row_of(folder / name, name, process.exitcode)
                tell(rows[name])
        time.sleep(0.1)
    return rows


def _row_of(folder: Path, name: str, status: int | None) -> dict[str, Any]:
    path = folder / "row.json"
    if path.exists():
        row: dict[str, Any] = json.loads(path.read_text())
        return row
    last = (folder / "output.txt").read_text().strip().splitlines()[-1:] or ["it said nothing"]
    broke = f"the scenario itself broke with {status}: {last[0]}"
    numbers = dict.fromkeys(("jobs", "lost", "doubled", "worst_delay", "seconds", "cpu"), 0)
    broken = {"wrong": 1, "faults": {}, "ended": False, "violations": [broke]}
    return {"name": name, **numbers, **broken}


def tell(row: dict[str, Any]) -> None:
    """What is known of a scenario that has just ended."""
    faults = ", ".join(f"{kind} {count}" for kind, count in sorted(row["faults"].items()))
    took = f"{row['seconds']} s, {row['cpu']} s of CPU"
    print(f"{row['name']}: {row['jobs']} jobs in {took}; {faults or 'no faults'}")
    for name, value in row.get("measured", {}).items():
        print(f"    {name}: {value:.1f}")
    for violation in row["violations"][:SHOWN]:
        print(f"    {violation}")
    sys.stdout.flush()


def table(rows: dict[str, dict[str, Any]]) -> str:
    lines = [COLUMNS.format(*HEADINGS)]
    for name, row in rows.items():
        numbers = (row["lost"], row["doubled"], row["wrong"], row["worst_delay"], row["seconds"])
        lines.append(COLUMNS.format(name, row["jobs"], sum(row["faults"].values()), *numbers))
    return "\n".join(lines)


def summary(rows: dict[str, dict[str, Any]]) -> dict[str, Any]:
    """The numbers, for machines."""
    scenarios = {
        name: {
            "jobs": row["jobs"],
            "faults": sum(row["faults"].values()),
            **{kind: row[kind] for kind in ("lost", "doubled", "wrong")},
        }
        for name, row in rows.items()
        if name in SCENARIOS
    }
    controls = {name: _found(rows[name], what) for name, what in FINDS.items() if name in rows}
    told: dict[str, Any] = {"scenarios": scenarios, "controls": controls}
    told["cpu"] = round(sum(row["cpu"] for row in rows.values()), 1)
    if plain := rows.get(plain_celery.NAME):
        told["compared"] = {plain_celery.NAME: {kind: plain[kind] for kind in COMPARED}}
    return told


def _found(row: dict[str, Any], what: str) -> dict[str, int]:
    """How many violations of its kind a control has found; none where it broke on the way."""
    found = sum(each.startswith(what) for each in row["violations"])
    return {what.partition(":")[0]: found if row["ended"] else 0}


def as_it_must_be(rows: dict[str, dict[str, Any]]) -> bool:
    """Nothing lost, doubled or wrong, and the controls found what they were to find."""
    told = summary(rows)
    right = all(
        row["lost"] == row["doubled"] == row["wrong"] == 0 for row in told["scenarios"].values()
    )
    return right and all(all(found.values()) for found in told["controls"].values())


if __name__ == "__main__":
    sys.exit(main())
