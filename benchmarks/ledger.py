"""Whether the ledger's transitions cost the same with many open jobs as with few."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from benchmarks.cpu import cpu_seconds
from benchmarks.empty_steps import new_job
from benchmarks.report import Figure, ratio
from uploadmill.backends.ledger.answers import Go
from uploadmill.backends.ledger.ledger import Ledger
from uploadmill.ids import new_job_id, new_nonce
from uploadmill.settings import LedgerSettings
from uploadmill.worker.embedded.valkey import embedded_valkey

AIM = 1.1

FEW = 100
MANY = 10_000

#: Claim, renew, release.
TRANSITIONS = 3


def measure(folder: Path, pairs: int, rounds: int) -> Iterator[Figure]:
    """The ratio of CPU, ours and Redis', per transition."""
    with ExitStack() as stack:
        few, many = (stack.enter_context(_filled(folder / str(n), n)) for n in (FEW, MANY))
        spent = [(few.cpu_of(rounds), many.cpu_of(rounds)) for _ in range(pairs + 1)][1:]
    unit = "us a transition, of ours and of Redis'"
    yield ratio("ledger_flat_ratio", AIM, [b for _, b in spent], [a for a, _ in spent], unit)


@contextmanager
def _filled(folder: Path, jobs: int) -> Iterator[Filled]:
    with embedded_valkey(folder) as valkey:
        ledger = Ledger(valkey.url, LedgerSettings())
        for _ in range(jobs):
            ledger.accept(new_job(new_job_id()), "0" * 64)
        yield Filled(ledger, valkey.pid)
        ledger.close()


class Filled:
    """A ledger with open jobs, of which one goes to and fro.

    Args:
        ledger: Our side.
        pid: Of the Redis.
    """

    def __init__(self, ledger: Ledger, pid: int) -> None:
        self.ledger = ledger
        self.pid = pid
        self.job_id = new_job_id()
        ledger.accept(new_job(self.job_id), "0" * 64)

    def cpu_of(self, rounds: int) -> float:
        """Microseconds of CPU per transition."""
        theirs, ours = cpu_seconds(self.pid), time.process_time()
        for _ in range(rounds):
            claimed = self.ledger.claim(self.job_id, "node", new_nonce())
            assert isinstance(claimed, Go)
            self.ledger.renew(self.job_id, claimed.token)
            self.ledger.release(self.job_id, claimed.token)
        spent = time.process_time() - ours + cpu_seconds(self.pid) - theirs
        return spent / rounds / TRANSITIONS * 1e6
