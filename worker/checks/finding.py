"""What a check finds, in three sentences: what is so, why it matters, how to mend it."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from enum import StrEnum

from uploadmill.settings import Settings


class Level(StrEnum):
    """How bad it is: a fault makes the exit status 1."""

    OK = "ok"
    WARNING = "warning"
    FAULT = "fault"


@dataclass(frozen=True, slots=True)
class Finding:
    """One line of the report.

    Attributes:
        check: What was looked at.
        level: How bad it is.
        what: What is so.
        why: Why it matters; empty where all is well.
        how: How to mend it; empty where all is well.
    """

    check: str
    level: Level
    what: str
    why: str = ""
    how: str = ""


#: Looks at one system and yields what it finds; it does not raise for what is broken there.
Check = Callable[[Settings], Iterable[Finding]]


def good(check: str, what: str) -> Finding:
    """All is well."""
    return Finding(check, Level.OK, what)


def warning(check: str, what: str, why: str, how: str) -> Finding:
    """It works, but somebody should know."""
    return Finding(check, Level.WARNING, what, why, how)


def fault(check: str, what: str, why: str, how: str) -> Finding:
    """Uploads will fail, or promises will be broken."""
    return Finding(check, Level.FAULT, what, why, how)
