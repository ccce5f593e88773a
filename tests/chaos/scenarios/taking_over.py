"""A worker dies at work, and others take its jobs over in time."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping

from chaos.book import Book
from chaos.ground import Ground
from chaos.scenario import Scenario
from chaos.scenarios.striking import armed_ground, wait_until_struck
from uploadmill.backends.ledger.names import JOB

#: Seconds beyond the lease in which a killed worker's jobs must run again, in the long form and in
#: the short one: that runs beside other tests, where a process may get no time for seconds.
TAKE_OVER = (5.0, 20.0)

#: What is measured.
TOOK = "seconds until the jobs of a killed worker run again"

#: Each job's fence, which every claim raises.
Fences = Mapping[str, str | None]


def take_over(ground: Ground) -> None:
    """How long after a worker's death its jobs run again: a lease, a sweep, and a message."""
    armed = armed_ground(ground)
    (doomed,) = ground.hire(1, concurrency=3)
    for _ in range(1 if ground.short else 3):
        hung = [
            ground.submit(ground.corpus.text(), lambda e: armed.arm(e.id, "scan.after hang")).id
            for _ in range(3)
        ]
        wait_until_struck(ground, armed)
        (heir,) = ground.hire(1, concurrency=3)
        # Now and then a lease is renewed: the moment of the kill is any moment of a term.
        ground.pause(ground.random.uniform(0, ground.lease / 3))
        before = _fences(ground, hung)
        doomed.replaced = False
        began = time.monotonic()
        ground.kill_group(doomed)
        limit = ground.lease + TAKE_OVER[ground.short]
        await_take_over(ground.book, lambda hung=hung: _fences(ground, hung), before, began, limit)
        doomed = heir


def await_take_over(
    book: Book, fences: Callable[[], Fences], before: Fences, began: float, limit: float
) -> None:
    """Wait until every job was claimed again; that it takes longer than *limit* is wrong."""
    while any(fence == before[job] for job, fence in fences().items()):
        if time.monotonic() - began > limit:
            break
        time.sleep(0.02)
    if book.longest(TOOK, began) > limit:
        book.first(book.wrong, "take-over", f"not all run again within {limit:g} s")


def _fences(ground: Ground, jobs: Iterable[str]) -> Fences:
    with ground.redis() as client:
        return {job: client.hget(JOB + job, "fence") for job in jobs}


TAKEN_OVER = Scenario("take_over", take_over, jobs=(9, 3))
