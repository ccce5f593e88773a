"""Workers are told to stop one after another, under load, and come back as another version."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Sequence
from typing import Any
from unittest.mock import patch

from services.next_version import NEXT_RECORD

from chaos.armed import Armed
from chaos.book import Book
from chaos.corpus import PIPELINES, Upload
from chaos.crew import Member, children_of
from chaos.ground import Ground
from chaos.scenario import Scenario
from chaos.scenarios.striking import PATIENCE, armed_ground
from chaos.shelves import read
from uploadmill.backends.ledger import ledger
from uploadmill.backends.ledger.ledger import Ledger
from uploadmill.backends.ledger.names import JOB, OPEN, RUNNING, STATS
from uploadmill.job import JobState, Outcome, UploadJob
from uploadmill.wire import OUTCOMES

#: The next version's pipelines: one has a step that the present version does not know, one is new.
NEXT = {
    **PIPELINES,
    "note": {"steps": [*PIPELINES["note"]["steps"], "stamp"]},
    "fresh": PIPELINES["note"],
}

#: Seconds of a lease in the short form: nobody is killed here, so that none is to run out.
SHORT_LEASE = 60.0

#: Seconds in which a worker that was told to stop must be gone and its jobs given back, in the long
#: form and in the short one, beside other tests. A lease that runs out instead takes longer.
GIVE_BACK = (10.0, 20.0)

#: Where a job waits, between two steps, until its worker has been told to stop.
HELD_AT = "validate.complete.after"

#: What is measured.
TOOK = "seconds until a worker told to stop has given back its jobs and gone"
GIVEN_BACK = "jobs in hand that stopped workers have given back"


def roll(ground: Ground) -> None:
    """Two versions side by side all the while; in the end only the next one is left."""
    _produce_by_both()
    armed = armed_ground(ground)
    ground.last_looks += [lambda: _look(ground), lambda: _look_at_leases(ground)]
    old = {"UPLOADMILL_PIPELINES": json.dumps(PIPELINES), "CHAOS": json.dumps(ground.faults)}
    next_faults = {**ground.faults, "next": True}
    new = {"UPLOADMILL_PIPELINES": json.dumps(NEXT), "CHAOS": json.dumps(next_faults)}
    crew = [*ground.hire(2, environ=old), *ground.hire(1, environ=new)]
    uploads = [_for_both(upload) for upload in ground.corpus.mixed(ground.jobs)]
    with ground.submitting(uploads, pause=0.15):
        for number in range(4 if ground.short else 40):
            held, member = _in_hand(ground, armed, crew)
            ground.book.fault("warm_restart", str(member.worker.pid))
            member.environ = {**member.environ, **(new if number % 2 == 0 else old)}
            before, began = _tokens(ground), time.monotonic()
            ground.stop_warm([member])
            limit = GIVE_BACK[ground.short]
            await_giving_back(ground.book, lambda: _tokens(ground), before, began, limit)
            count_given_back(ground.book, member.worker.server.log.read_text(), held)
            ground.tend()
            member.worker.wait_ready()
    ground.faults["next"] = True
    for member in crew:
        if member.began_with.items() >= old.items():
            member.replaced = False
            ground.stop_warm([member])
    if ground.short:
        _let_sweep(ground)


def _for_both(upload: Upload) -> Upload:
    """One text in four asks for a pipeline that only the next version knows."""
    if upload.pipeline == "note" and upload.content[0] % 4 == 0:
        return Upload(upload.content, "fresh", upload.expected)
    return upload


def _produce_by_both() -> None:
    """Who asks for the next version's pipeline is a producer of that version: so is the record."""
    accept = Ledger.accept

    def by_version(self: Ledger, job: UploadJob, *arguments: Any, **options: Any) -> Any:
        version = NEXT_RECORD if job.pipeline == "fresh" else NEXT_RECORD - 1
        with patch.object(ledger, "RECORD_VERSION", version):
            return accept(self, job, *arguments, **options)

    Ledger.accept = by_version  # type: ignore[method-assign]


def _in_hand(ground: Ground, armed: Armed, crew: Sequence[Member]) -> tuple[str, Member]:
    """A job that waits between two steps, and the worker that has it."""
    entry = ground.submit(ground.corpus.text(), lambda e: armed.arm(e.id, f"{HELD_AT} until_told"))
    end = time.monotonic() + PATIENCE
    while (pid := armed.struck_in(entry.id)) is None and time.monotonic() < end:
        ground.pause(0.02)
    (member,) = (each for each in crew if pid in children_of(each.worker.pid))
    return entry.id, member


def count_given_back(book: Book, log: str, job_id: str) -> None:
    """That a stopped worker's log does not say that it gave back what it had in hand is wrong."""
    if f"job_released job={job_id} " in log:
        book.measured[GIVEN_BACK] = book.measured.get(GIVEN_BACK, 0) + 1
    else:
        book.first(book.wrong, job_id, "not given back by a worker that was told to stop")


def _look_at_leases(ground: Ground) -> None:
    """Nobody died: each lease was given back, and none has run out."""
    with ground.redis() as client:
        if lost := client.hget(STATS, "lost"):
            ground.book.first(ground.book.wrong, "leases", f"{lost} ran out, and nobody had died")


def _tokens(ground: Ground) -> set[str]:
    """Under which jobs are being worked on."""
    with ground.redis() as client:
        held = {client.hget(JOB + job, "token") for job in client.zrange(RUNNING, 0, -1)}
    return {token for token in held if token}


def await_giving_back(
    book: Book, tokens: Callable[[], set[str]], before: set[str], began: float, limit: float
) -> None:
    """Wait until no job is held as *before*; that it takes longer than *limit* is wrong."""
    while before & tokens() and time.monotonic() - began <= limit:
        time.sleep(0.02)
    if book.longest(TOOK, began) > limit:
        book.first(book.wrong, "giving back", f"a stopped worker took longer than {limit:g} s")


def _let_sweep(ground: Ground) -> None:
    """The minute passes after which somebody wakes again what an old worker had to leave."""
    with ground.redis() as client:
        for job in client.zrange(OPEN, 0, -1):
            client.zadd(OPEN, {job: 0}, xx=True)


def _look(ground: Ground) -> None:
    """Texts show which version had begun with them; a campaign with one alone shows nothing."""
    keys = [f"{OUTCOMES}{e.id}.json" for e in ground.book.accepted if e.upload.pipeline == "note"]
    staging = ground.shelves["staging"]
    outcomes = [Outcome.model_validate_json(read(staging, k)) for k in keys if staging.states(k)]
    stored = [outcome.result for outcome in outcomes if outcome.state is JobState.STORED]
    stamped = sum("stamped" in result.extracted for result in stored)
    ground.book.measured["texts stored by the next version's plan"] = stamped
    ground.book.measured["texts stored by the present version's plan"] = len(stored) - stamped
    if stamped in (0, len(stored)):
        ground.book.first(ground.book.wrong, "versions", "one of the two began no job")


ROLLING = Scenario(
    "rolling_restarts",
    roll,
    jobs=(800, 70),
    short_settings={"UPLOADMILL_LEDGER__LEASE": f"{SHORT_LEASE:g}"},
    pipelines=NEXT,
)
