"""Print the coverage of lines by folder as the README's table; exit 1 below the floors."""

from __future__ import annotations

import json
import sys
import tempfile
from collections import Counter
from pathlib import Path

from coverage import Coverage

#: Least share of lines, in percent, that the tests must run.
FLOORS = {"backends/storage": 92.0, "all": 90.0}


def folder_of(path: str) -> str:
    """The folder a file is counted under: ``backends/storage`` and its like, else the top one."""
    top, *rest = Path(path).parts
    return f"{top}/{rest[0]}" if top == "backends" and len(rest) > 1 else top


def covered_lines() -> tuple[Counter[str], Counter[str]]:
    """Lines that ran and lines there are, by folder."""
    coverage = Coverage()
    coverage.load()
    with tempfile.NamedTemporaryFile(suffix=".json") as report:
        coverage.json_report(outfile=report.name)
        files = json.loads(Path(report.name).read_text())["files"]
    ran: Counter[str] = Counter()
    there: Counter[str] = Counter()
    for path, measured in files.items():
        for folder in (folder_of(path), "all"):
            ran[folder] += measured["summary"]["covered_lines"]
            there[folder] += measured["summary"]["num_statements"]
    return ran, there


def main() -> int:
    """Print the table."""
    ran, there = covered_lines()
    print("| folder | lines | covered |\n|---|---:|---:|")
    low = []
    for folder in [*sorted(set(there) - {"all"}), "all"]:
        if there[folder] == 0:
            continue
        percent = 100 * ran[folder] / there[folder]
        print(f"| {folder} | {there[folder]} | {percent:.1f} % |")
        if percent < FLOORS.get(folder, 0.0):
            low.append(f"{folder}: {percent:.1f} % of lines, at least {FLOORS[folder]:g} are asked")
    print(*low, sep="\n", end="\n" if low else "")
    return 1 if low else 0


if __name__ == "__main__":
    sys.exit(main())
