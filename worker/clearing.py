"""Clear a node's workspaces: what nobody needs goes, and what waits keeps within its budget.

A workspace is no promise: a job that finds its own gone starts over from ``pin``.
"""

from __future__ import annotations

import logging
import re
import shutil
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from uploadmill.backends.ledger.ledger import Ledger
from uploadmill.backends.ledger.record import Record
from uploadmill.ids import is_job_id
from uploadmill.settings import LedgerSettings
from uploadmill.worker.workspace import Workspaces

log = logging.getLogger("uploadmill.workspaces")

#: What a folder is called while it is deleted.
DROPPED = ".dropped-"

#: What a workspace's folder is called: after the claim that made it, and perhaps being deleted.
_NAME = re.compile(rf"({re.escape(DROPPED)})*[0-9a-f]{{16}}")


@dataclass(frozen=True, slots=True)
class Workspace:
    """One folder, and the job it belongs to.

    Attributes:
        size: Bytes of all its files.
        made: When its oldest file was written, in seconds since 1970.
        written: When its latest was.
    """

    path: Path
    job_id: str
    size: int
    made: float
    written: float


@dataclass
class Cleared:
    """What was deleted, or would be: workspaces, and their bytes."""

    needless: int = 0
    over_budget: int = 0
    size: int = 0


class Clearing:
    """Clears one node's workspaces.

    Args:
        ledger: Says which jobs still need theirs.
        workspaces: The node's.
        budget: Bytes that waiting jobs may keep together.
    """

    def __init__(self, ledger: Ledger, workspaces: Workspaces, budget: int) -> None:
        self._ledger = ledger
        self._workspaces = workspaces
        self._budget = budget

    def clear(self, *, dry_run: bool = False) -> Cleared:
        """Look at every workspace once.

        Raises:
            LedgerUnavailable: Nobody can say which are needed; those not yet looked at stay.
        """
        cleared, waiting = Cleared(), []
        for found in workspaces_in(self._workspaces.jobs):
            if self._needless(found):
                cleared.needless += self._drop(found, cleared, dry_run=dry_run)
            elif self._waits(found):
                waiting.append(found)
        waiting.sort(key=lambda found: found.written)
        too_much = sum(found.size for found in waiting) - self._budget
        for found in waiting:
            # Asked again, because somebody may have taken the job up meanwhile.
            if too_much > 0 and self._waits(found):
                cleared.over_budget += self._drop(found, cleared, dry_run=dry_run)
                too_much -= found.size
        if cleared.needless or cleared.over_budget:
            log.info("workspaces_cleared", extra={"dry_run": dry_run, **vars(cleared)})
        return cleared

    def _needless(self, found: Workspace) -> bool:
        """Whether nobody will need this folder again, and nobody seems to write to it."""
        constants, now = self._ledger.constants, time.time()
        if now - found.written < 2 * constants.lease:
            return False
        record = self._ledger.read(found.job_id)
        return not _needs(record, found) or _too_old(found, constants, now)

    def _waits(self, found: Workspace) -> bool:
        record = self._ledger.read(found.job_id)
        return isinstance(record, Record) and not record.running

    def _drop(self, found: Workspace, cleared: Cleared, *, dry_run: bool) -> bool:
        """Delete a folder; renamed first, so that whoever opens it finds all of it or nothing."""
        cleared.size += found.size
        if dry_run:
            return True
        aside = found.path.parent / f"{DROPPED}{found.path.name}"
        with suppress(OSError):
            found.path.rename(aside)
        shutil.rmtree(aside, ignore_errors=True)
        with suppress(OSError):
            found.path.parent.rmdir()
        return True


def workspaces_in(jobs: Path) -> Iterator[Workspace]:
    """Every workspace below *jobs*; what another hand has put there is passed over."""
    for job in _folders(jobs):
        if is_job_id(job.name):
            for path in _folders(job):
                if _NAME.fullmatch(path.name):
                    yield _measured(path, job.name)
            with suppress(OSError):
                job.rmdir()  # where it was left empty


def _folders(path: Path) -> list[Path]:
    try:
        return sorted(entry for entry in path.iterdir() if entry.is_dir())
    except OSError:
        return []


def _measured(path: Path, job_id: str) -> Workspace:
    stats = []
    for file in [*path.rglob("*"), path]:
        with suppress(OSError):
            stats.append(file.lstat())
    times = [stat.st_mtime for stat in stats] or [0.0]
    return Workspace(path, job_id, sum(s.st_size for s in stats), min(times), max(times))


def _needs(record: object, found: Workspace) -> bool:
    """Whether *record* is of an open job whose workspace this is."""
    return isinstance(record, Record) and record.workspace_id == found.path.name


def _too_old(found: Workspace, constants: LedgerSettings, now: float) -> bool:
    return now - found.made > constants.workspace_max
