"""What is done to the primary, and the row of the table that comes of it."""

from __future__ import annotations

import signal
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from itertools import groupby
from pathlib import Path

from services import s3_proxy as faults
from services.s3_proxy import Fault

from chaos.corpus import Corpus, Upload
from chaos.storage.ground import StorageGround, storage_ground
from chaos.storage.places import Findings, look
from uploadmill.errors import JobNotEnded
from uploadmill.job import JobResult, JobState

#: Seconds in which all jobs must have ended, and all been brought home, once nothing is broken.
DRAIN = 300.0

#: Bytes of a text that goes to S3 by parts, which only large ones do.
LARGE = 9 << 20


@dataclass(frozen=True)
class Scenario:
    """One way to break the primary.

    Attributes:
        fault: Of the proxy, or a signal to the server itself.
        jobs: In the long form, and in the short one.
        large: Whether uploads are so large that they go by parts.
        settings: ``UPLOADMILL_…`` variables.
        heals: Whether everything is to be brought home.
    """

    fault: Fault | signal.Signals
    jobs: tuple[int, int] = (200, 4)
    large: bool = False
    settings: Mapping[str, str] = field(default_factory=dict)
    heals: bool = True

    def uploads(self, corpus: Corpus, count: int) -> list[Upload]:
        draw: Callable[[], Upload] = corpus.good
        if self.large:
            draw = lambda: _large(corpus)  # noqa: E731 - one call
        return [draw() for _ in range(count)]


@dataclass(frozen=True)
class Row:
    """What came of a scenario."""

    jobs: int
    faults: int
    stored: int
    wrong_place: int
    wrong_digest: int
    left_on_secondary: int
    failed_over: int
    seconds: float
    violations: tuple[str, ...]


SCENARIOS = {
    "connection_refused": Scenario(faults.refuse),
    "black_hole": Scenario(faults.swallow),
    "server_frozen": Scenario(signal.SIGSTOP),
    "reset_in_mid_body": Scenario(faults.cut_body),
    "slow_down": Scenario(faults.slow_down),
    "forbidden": Scenario(faults.forbid),
    "missing_bucket": Scenario(faults.lose_bucket),
    "error_inside_200": Scenario(faults.fail_inside_200, jobs=(200, 3), large=True),
    "reply_lost": Scenario(faults.lose_reply),
}

#: Must find something: nothing is taken away from the secondary within a day.
CONTROLS = {
    "heal_off": Scenario(
        faults.refuse, settings={"UPLOADMILL_LEDGER__HEAL_GRACE": "86400"}, heals=False
    )
}


def campaign(
    scenarios: Mapping[str, Scenario], folder: Path, *, seed: int, short: bool
) -> Iterator[tuple[str, Row]]:
    """Play scenarios one after another, in the short form on the same servers.

    Yields:
        Name and row of each, as soon as it has ended.
    """
    for settings, alike in groupby(scenarios, key=lambda name: scenarios[name].settings):
        names = list(alike)
        for shared in [names] if short else [[name] for name in names]:
            with storage_ground(folder / shared[0], settings) as ground:
                ground.start_worker(concurrency=2 if short else 4)
                for name in shared:
                    yield name, play(scenarios[name], ground, Corpus(seed), short=short)


def play(scenario: Scenario, ground: StorageGround, corpus: Corpus, *, short: bool) -> Row:
    """Break the primary while most jobs are worked on, mend it, and look where everything is."""
    began = time.monotonic()
    ground.begin()
    uploads = scenario.uploads(corpus, scenario.jobs[short])
    before = len(uploads) // 4
    _submit(ground, uploads[:before])
    ground.wait_ended(DRAIN)
    with ground.broken(scenario.fault):
        _submit(ground, uploads[before:])
        ground.wait_ended(DRAIN)
    failed_over = sum(1 for _ in ground.stores.secondary.list())
    ground.wait_ended(DRAIN)
    if scenario.heals:
        ground.wait_healed(DRAIN)
    results = _results(ground)
    found = look(results, ground.ids, ground.stores)
    return _row(found, ground, results, failed_over, time.monotonic() - began)


def _submit(ground: StorageGround, uploads: list[Upload]) -> None:
    for upload in uploads:
        ground.submit(upload)


def _results(ground: StorageGround) -> dict[str, JobResult]:
    results = {}
    for job_id in ground.ids:
        try:
            results[job_id] = ground.uploads.result(job_id)
        except JobNotEnded:
            continue
    return results


def _row(
    found: Findings,
    ground: StorageGround,
    results: Mapping[str, JobResult],
    failed_over: int,
    seconds: float,
) -> Row:
    unfinished = [f"{job_id}: it has not ended" for job_id in ground.ids if job_id not in results]
    wrongly = [
        f"{job_id}: {result.state.value} {result.error}"
        for job_id, result in results.items()
        if result.state is not JobState.STORED
    ]
    return Row(
        jobs=len(ground.ids),
        faults=ground.proxy.struck,
        stored=found.stored,
        wrong_place=len(found.wrong_place),
        wrong_digest=len(found.wrong_digest),
        left_on_secondary=found.left_on_secondary,
        failed_over=failed_over,
        seconds=round(seconds, 1),
        violations=(*unfinished, *wrongly, *found.wrong_place, *found.wrong_digest),
    )


def _large(corpus: Corpus) -> Upload:
    line = corpus.text().content
    return Upload(line * (LARGE // len(line) + 1), "note", frozenset({JobState.STORED}))
