"""Figures, their aims, and how they are printed."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from statistics import median


@dataclass(frozen=True, slots=True)
class Figure:
    """One measured figure.

    Attributes:
        name: In the JSON.
        value: A ratio, or in the unit that the name ends with.
        aim: At most; None where there is none.
        detail: What the value was made of.
        at_least: Whether the aim is the lowest value that meets it, not the highest.
    """

    name: str
    value: float
    aim: float | None
    detail: str
    at_least: bool = False

    @property
    def met(self) -> str:
        if self.aim is None:
            return ""
        met = self.value >= self.aim if self.at_least else self.value <= self.aim
        return "yes" if met else "NO"


def ratio(
    name: str, aim: float | None, ours: Sequence[float], plain: Sequence[float], unit: str
) -> Figure:
    """The median of the ratios of batches that were run one after the other."""
    ratios = [mine / theirs for mine, theirs in zip(ours, plain, strict=True)]
    detail = (
        f"{median(ours):.2f} against {median(plain):.2f} {unit}; "
        f"ratios {min(ratios):.2f} to {max(ratios):.2f} in {len(ratios)} pairs"
    )
    return Figure(name, median(ratios), aim, detail)


def table(figures: Iterable[Figure]) -> str:
    head = ("figure", "value", "aim", "met", "made of")
    rows = [head] + [
        (f.name, f"{f.value:.2f}", "" if f.aim is None else f"{f.aim:g}", f.met, f.detail)
        for f in figures
    ]
    widths = [max(len(row[column]) for row in rows) for column in range(len(head))]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in rows
    )


def as_json(figures: Iterable[Figure]) -> str:
    return json.dumps({figure.name: round(figure.value, 3) for figure in figures})
