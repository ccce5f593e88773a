"""What the ledger answers to a transition; docs/design.md says what each party does then."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from uploadmill.backends.ledger.record import Record
from uploadmill.errors import LedgerUnavailable
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


def answer_of(reply: list[Any]) -> Reply:
    """A script's answer as one of ours.

    Raises:
        LedgerUnavailable: It is none of them.
    """
    match reply:
        case ["go", step, token]:
            return Go(step, token)
        case ["go", step, token, flat]:
            return Go(step, token, Record.parse(fields_of(flat), running=True))
        case ["end", ending, token]:
            return End(ending, token)
        case ["end", ending, token, flat]:
            return End(ending, token, Record.parse(fields_of(flat), running=True))
        case ["terminal", outcome]:
            return Terminal(Outcome.model_validate_json(outcome))
        case [name]:
            return Answer(name)
    raise LedgerUnavailable(f"the ledger gave an unknown answer: {reply[:1]}")


def fields_of(flat: Sequence[str]) -> Mapping[str, str]:
    """A record's fields, from their names and values in turn."""
    return dict(zip(flat[::2], flat[1::2], strict=True))
