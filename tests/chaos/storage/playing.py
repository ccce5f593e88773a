"""How scenarios are played: two at a time, and each looks where everything is afterwards."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from queue import SimpleQueue
from threading import Event

from chaos.corpus import Corpus
from chaos.storage.ground import StorageGround, storage_ground
from chaos.storage.places import Findings, look
from chaos.storage.scenarios import Scenario
from uploadmill.errors import JobNotEnded
from uploadmill.job import JobResult, JobState

#: Seconds in which all jobs must have ended, or been brought home: minutes on a busy machine.
DRAIN = 900.0


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


@dataclass(frozen=True)
class Campaign:
    """Plays scenarios.

    Args:
        folder: For data and logs.
        seed: Of what is sent.
        short: Send a handful, not hundreds.
    """

    folder: Path
    seed: int
    short: bool

    def play(self, scenarios: Mapping[str, Scenario]) -> Iterator[tuple[str, Row]]:
        """Play what is done by the proxy, and beside it what is done to a server itself.

        Yields:
            Name and row of each, as soon as it has ended.
        """
        lanes = [
            {name: each for name, each in scenarios.items() if each.direct is direct}
            for direct in {each.direct for each in scenarios.values()}
        ]
        rows: SimpleQueue[tuple[str, Row] | None] = SimpleQueue()
        given_up = Event()
        with ThreadPoolExecutor(len(lanes)) as pool:
            playing = [pool.submit(self._play_lane, lane, rows, given_up) for lane in lanes]
            try:
                for _ in playing:
                    yield from iter(rows.get, None)
                for each in playing:
                    each.result()
            finally:
                given_up.set()

    def _play_lane(
        self,
        scenarios: Mapping[str, Scenario],
        rows: SimpleQueue[tuple[str, Row] | None],
        given_up: Event,
    ) -> None:
        """Play one after another on the same servers; None says that there are no more rows."""
        first = next(iter(scenarios))
        try:
            with storage_ground(
                self.folder / first, given_up, direct=scenarios[first].direct
            ) as ground:
                for _, alike in groupby(scenarios, key=lambda name: scenarios[name].settings):
                    names = list(alike)
                    settings = scenarios[names[0]].settings
                    with ground.worker(concurrency=2 if self.short else 4, settings=settings):
                        for name in names:
                            row = play(scenarios[name], ground, Corpus(self.seed), short=self.short)
                            rows.put((name, row))
        finally:
            rows.put(None)


def play(scenario: Scenario, ground: StorageGround, corpus: Corpus, *, short: bool) -> Row:
    """Break the primary while most jobs are worked on, mend it, and look where everything is."""
    began = time.monotonic()
    ground.begin()
    uploads = scenario.uploads(corpus, scenario.jobs[short])
    # Some are stored when it breaks, and some are just being worked on.
    before, amid = (0, 0) if scenario.emptied else (len(uploads) // 4, max(1, len(uploads) // 20))
    if before:
        ground.wait_ended(ground.submit(uploads[:before]), DRAIN)
    ground.submit(uploads[before : before + amid])
    with scenario.breaks(ground):
        # Not those before them: of one that is decided to be on the primary the result is, too.
        ground.wait_ended(ground.submit(uploads[before + amid :]), DRAIN)
        failed_over = sum(1 for _ in ground.stores.secondary.list())
    ground.wait_ended([*ground.ids], DRAIN)
    if scenario.heals:
        ground.wait_healed(DRAIN)
    results = _results(ground)
    found = look(results, ground.ids, ground.stores)
    return _row(found, ground, results, failed_over, time.monotonic() - began)


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
        faults=ground.struck,
        stored=found.stored,
        wrong_place=len(found.wrong_place),
        wrong_digest=len(found.wrong_digest),
        left_on_secondary=found.left_on_secondary,
        failed_over=failed_over,
        seconds=round(seconds, 1),
        violations=(*unfinished, *wrongly, *found.wrong_place, *found.wrong_digest),
    )
