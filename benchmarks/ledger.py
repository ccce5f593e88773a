"""Whether the ledger's transitions cost the same with many open jobs as with few."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from hashlib import sha256
from pathlib import Path

from benchmarks.cpu import cpu_seconds
from benchmarks.empty_steps import new_job
from benchmarks.report import Figure, ratio
from uploadmill.backends.ledger import proposals
from uploadmill.backends.ledger.answers import Go
from uploadmill.backends.ledger.ledger import Ledger
from uploadmill.backends.ledger.record import Note
from uploadmill.ids import new_job_id, new_nonce
from uploadmill.job import Receipt
from uploadmill.pipeline import Pin, Plan, Validate
from uploadmill.settings import LedgerSettings
from uploadmill.worker.embedded.valkey import embedded_valkey

AIM = 1.2

FEW = 100

#: Open jobs, in the long form and in the short one.
MANY = (100_000, 10_000)

#: Accept, due, claim, renew, complete, release, claim again, finish.
TRANSITIONS = 8

PLAN = Plan.of("document", [Validate()])
NOTE = Note(receipt=Receipt(step=Pin.step, ms=1.0, bytes_in=1, bytes_out=1, changed=""))
SHA256 = "0" * 64


def measure(folder: Path, pairs: int, rounds: int, *, short: bool) -> Iterator[Figure]:
    """The ratio of CPU, ours and Redis', per transition."""
    with ExitStack() as stack:
        few, many = (stack.enter_context(_filled(folder / str(n), n)) for n in (FEW, MANY[short]))
        spent = [(few.cpu_of(rounds), many.cpu_of(rounds)) for _ in range(pairs + 1)][1:]
    unit = f"us a transition with {MANY[short]:,} and {FEW} open jobs, of ours and of Redis'"
    yield ratio("ledger_flat_ratio", AIM, [b for _, b in spent], [a for a, _ in spent], unit)


@contextmanager
def _filled(folder: Path, jobs: int) -> Iterator[Filled]:
    with embedded_valkey(folder) as valkey:
        ledger = Ledger(valkey.url, LedgerSettings())
        for _ in range(jobs):
            ledger.accept(new_job(new_job_id()), SHA256)
        yield Filled(ledger, valkey.pid)
        ledger.close()


class Filled:
    """A ledger with open jobs, through which others go from their beginning to their end.

    Args:
        ledger: Our side.
        pid: Of the Redis.
    """

    def __init__(self, ledger: Ledger, pid: int) -> None:
        self.ledger = ledger
        self.pid = pid

    def cpu_of(self, rounds: int) -> float:
        """Microseconds of CPU per transition."""
        theirs, ours = cpu_seconds(self.pid), time.process_time()
        for _ in range(rounds):
            self._live(new_job_id())
        spent = time.process_time() - ours + cpu_seconds(self.pid) - theirs
        return spent / rounds / TRANSITIONS * 1e6

    def _live(self, job_id: str) -> None:
        """Every transition of one job, as a producer, a sweeper and a worker make them."""
        ledger, job = self.ledger, new_job(job_id)
        assert ledger.accept(job, SHA256).name == "new"
        ledger.due(1)
        claimed = ledger.claim(job_id, "node", new_nonce())
        assert isinstance(claimed, Go)
        ledger.renew(job_id, claimed.token)
        went_on = ledger.complete(
            job_id, claimed.token, Pin.step, new_nonce(), note=NOTE, plan=PLAN, src_sha256=SHA256
        )
        assert isinstance(went_on, Go)
        ledger.release(job_id, went_on.token)
        assert isinstance(ledger.claim(job_id, "node", new_nonce()), Go)
        outcome = proposals.cancelled(job, ledger.constants)
        document = outcome.model_dump_json().encode()
        assert ledger.finish(outcome, document, sha256(document).hexdigest(), None) == "done"
