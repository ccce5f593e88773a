"""Rules of the protocol switched off, to see that the harness finds what they prevent.

Test subclasses in spirit: the functions of the product are replaced in this process alone.
"""

from __future__ import annotations

import subprocess
import sys
from typing import Any

from uploadmill.backends.ledger.decisions import Decision, Decisions
from uploadmill.backends.ledger.ledger import Ledger
from uploadmill.job import Outcome
from uploadmill.wire import OUTCOMES
from uploadmill.worker import bootsteps, reconciling
from uploadmill.worker.sweeper import Sweeper

#: How ``finish`` knows a job that has ended already.
GUARD = "if r.state ~= '' and r.state ~= 'open' then"


def switch_off(rule: str) -> None:
    {"sweeper": _sweeper, "outcome": _outcome, "look": _look}[rule]()


def _sweeper() -> None:
    """Nobody looks for jobs that nobody looks after: neither the sweeper nor reconcile."""

    def nothing(*_: Any, **__: Any) -> None:
        return None

    Sweeper.sweep = nothing  # type: ignore[method-assign]
    for name in ("start", "stop", "terminate"):
        setattr(bootsteps.ReconcileStep, name, nothing)


def _outcome() -> None:
    """How a job ended is written into the ledger and nowhere decided."""
    text = Ledger.text

    def plain(self: Ledger, name: str) -> str:
        # Whoever comes last is right.
        return (
            text(self, name).replace(GUARD, "if false then")
            if name == "finish"
            else text(self, name)
        )

    def decide(self: Decisions, proposal: Outcome) -> Decision:
        # The object is a copy for readers: the last one to come overwrites it.
        document = proposal.model_dump_json().encode()
        self.storage.put(f"{OUTCOMES}{proposal.job.id}.json", document)
        return Decision(proposal, document, created=True)

    Ledger.text = plain  # type: ignore[method-assign]
    Decisions.decide = decide  # type: ignore[method-assign]


def _look() -> None:
    """Reconcile takes every envelope for that of an open job."""

    def recover(within: float) -> subprocess.Popen[bytes]:
        options = ["recover", "--unless-within", f"{within:g}"]
        return subprocess.Popen([sys.executable, "-m", "chaos.blind_command", *options])

    reconciling.recover = recover
