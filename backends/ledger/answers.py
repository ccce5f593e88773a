"""What the ledger answers to a transition; docs/design.md says what each party does then."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from uploadmill.backends.ledger.record import Record
from uploadmill.job import Outcome


@dataclass(frozen=True, slots=True)
class Go:
    """Run *step* under *token*. ``record`` comes with a claim; a completing worker has it."""

    step: str
    token: str
    record: Record | None = None


@dataclass(frozen=True, slots=True)
class End:
    """Run no processor: settle this end. ``ending`` is ``cancelled`` or ``failed:<code>``."""

    ending: str
    token: str
    record: Record | None = None


@dataclass(frozen=True, slots=True)
class Terminal:
    """The job has ended."""

    outcome: Outcome


@dataclass(frozen=True, slots=True)
class Answer:
    """An answer that says all by its name.

    ``ok`` done · ``busy`` somebody works on it · ``wait`` its time has not come · ``unknown`` no
    such job · ``fenced`` the lease went to somebody else · ``changed`` the staged bytes are not
    those pinned before · ``refused`` the certificate does not fit the bytes.
    """

    name: Literal["ok", "busy", "wait", "unknown", "fenced", "changed", "refused"]


#: What every transition but ``accept``, ``finish`` and ``due`` answers.
Reply = Go | End | Terminal | Answer


@dataclass(frozen=True, slots=True)
class Accepted:
    """The answer to ``accept``; ``outcome`` for a job that has ended."""

    name: Literal["new", "open", "conflict", "ended"]
    outcome: Outcome | None = None
