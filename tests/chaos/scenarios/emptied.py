"""Redis forgets everything in mid-run; what has ended does not run again."""

from __future__ import annotations

import time
from collections.abc import Collection
from contextlib import suppress
from pathlib import Path

from chaos.armed import Armed
from chaos.corpus import Upload, expecting
from chaos.entries import noted, run_again
from chaos.ground import Ground
from chaos.scenario import Scenario
from chaos.scenarios.redis_faults import SOON
from chaos.scenarios.striking import armed_ground, wait_until_struck
from uploadmill.errors import TransientError
from uploadmill.job import JobState
from uploadmill.wire import ENVELOPES, OUTCOMES

#: Of so many jobs, one of each kind loses its child, or its canceller, between its decision and
#: all that follows: only the decision says then that it has ended. As many stand still in mid-run.
ONE_OF = 100

#: Seconds for which those stand still, over the moment in which Redis is emptied.
STOP_FOR = 6.0

OPEN = "jobs that were open when Redis was emptied"


def empty_redis(ground: Ground) -> None:
    """FLUSHALL in mid-run, with one in ten rejected, cancelled or quarantined: none runs again."""
    armed = armed_ground(ground, STOP_FOR)
    notes = ground.folder / "entries"
    ground.faults["entries"] = str(notes)
    ground.hire_few()
    uploads = list(ground.corpus.mixed(ground.jobs, infected=0.1, bad=0.1))
    half = len(uploads) // 2
    for some in (uploads[:half], uploads[half:]):
        ground.submit_all(some)
        _cancel_some(ground, ground.jobs // 10)
        count = max(1, ground.jobs // ONE_OF)
        _break_off_some(ground, armed, count)
        _hold_some(ground, armed, count)
        wait_until_struck(ground, armed)
        _flush(ground, notes)
    # Nobody restarts anything: the workers find out by themselves.
    ground.wait_until_ended(60)


def _cancel_some(ground: Ground, count: int) -> None:
    for upload in _cancellable(ground, count):
        entry = ground.submit(upload)
        with suppress(TransientError):
            ground.uploads.cancel(entry.id)


def _cancellable(ground: Ground, count: int) -> list[Upload]:
    """A cancellation may come too late: then the job is stored."""
    states = (JobState.CANCELLED, JobState.STORED)
    return [expecting(ground.corpus.text(), states) for _ in range(count)]


def _break_off_some(ground: Ground, armed: Armed, count: int) -> None:
    """Jobs that are decided, and nothing else of what follows was done."""
    for _ in range(count):
        for upload in (ground.corpus.text(), ground.corpus.infected(), ground.corpus.bad()):
            ground.submit(upload, lambda entry: armed.arm(entry.id, "outcome.after kill_child"))
            ground.book.fault("kill_child", "outcome.after")
        (upload,) = _cancellable(ground, 1)
        entry = ground.submit(upload)
        with suppress(TransientError):
            ground.uploads._clients.settler._cancellation(entry.id)


def _hold_some(ground: Ground, armed: Armed, count: int) -> None:
    """Jobs in the middle of a step, whose processes go on when nobody knows them any more."""
    for _ in range(count):
        ground.submit(ground.corpus.text(), lambda entry: armed.arm(entry.id, "scan.after stop"))
        ground.book.fault("stop", "scan.after")


def _flush(ground: Ground, notes: Path) -> None:
    staging = ground.shelves["staging"]
    outcomes, envelopes = (
        {key.removeprefix(folder).removesuffix(".json") for key in staging.states(folder)}
        for folder in (OUTCOMES, ENVELOPES)
    )
    still_open, in_mid_end = len(envelopes - outcomes), len(envelopes & outcomes)
    ground.book.fault("flushall", f"{len(outcomes)} ended, {in_mid_end} in mid-end")
    ground.book.measured[OPEN] = ground.book.measured.get(OPEN, 0) + still_open
    with ground.redis() as client:
        client.flushall()
    since = time.monotonic()
    ground.last_looks.append(lambda: _count(ground, notes, outcomes, since))


def _count(ground: Ground, notes: Path, ended: Collection[str], since: float) -> None:
    entered = noted(notes)
    if not entered:
        ground.book.first(ground.book.wrong, "entries", "no worker has noted any")
    if not ground.book.measured[OPEN]:
        ground.book.first(ground.book.wrong, "flushall", "there was no job in mid-run")
    for job_id, steps in run_again(entered, ended, since).items():
        what = f"ran again after Redis was emptied: {', '.join(steps)}"
        ground.book.first(ground.book.doubled, job_id, what)


EMPTIED = Scenario("redis_emptied", empty_redis, jobs=(1000, 80), short_settings=SOON)

#: Must find something: whoever brings jobs back does not look which were decided.
LOOK_OFF = Scenario(
    "look_off",
    empty_redis,
    jobs=(100, 10),
    faults={"without": ["look"]},
    short_settings=SOON,
    drain=(60.0, 20.0),
)
