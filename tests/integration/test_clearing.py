"""A node's workspaces: what is needed stays, what is not goes, what waits keeps to its budget."""

from __future__ import annotations

import os
import time
from pathlib import Path
from uuid import uuid4

import pytest
from services.timed_ledger import NODE, OTHER_NODE, accepted, brought_to, finished

from uploadmill.errors import LedgerUnavailable
from uploadmill.ids import new_job_id
from uploadmill.worker.clearing import Clearing
from uploadmill.worker.workspace import Workspaces

GB = 10**9


@pytest.fixture
def workspaces(tmp_path):
    return Workspaces(tmp_path)


@pytest.fixture
def clear(ledger, workspaces):
    return lambda budget=GB, **how: Clearing(ledger, workspaces, budget).clear(**how)


def put(path: Path, size: int = 1000, age: float = 3600) -> Path:
    """A workspace with one file, written some time ago."""
    path.mkdir(parents=True)
    (path / "pin-1-x-original").write_bytes(b"x" * size)
    then = time.time() - age
    for each in (path / "pin-1-x-original", path):
        os.utime(each, (then, then))
    return path


def at_work(ledger, workspaces, **how) -> tuple:
    """A job that a worker of this node is working on, and its workspace."""
    job = accepted(ledger)
    go = brought_to(ledger, job, "validate")
    return job, go, put(workspaces.folder(ledger.read(job.id)), **how)


def waiting(ledger, workspaces, **how) -> tuple:
    job, go, folder = at_work(ledger, workspaces, **how)
    ledger.release(job.id, go.token, delay=60)
    return job, go, folder


def test_what_open_jobs_need_stays(ledger, workspaces, clear):
    folders = [at_work(ledger, workspaces)[2], waiting(ledger, workspaces)[2]]
    clear()
    assert all((folder / "pin-1-x-original").exists() for folder in folders)


def test_those_of_ended_and_unknown_jobs_go(ledger, workspaces, clear):
    job, _, ended = at_work(ledger, workspaces)
    finished(ledger, job)
    unknown = put(workspaces.jobs / new_job_id() / "0123456789abcdef")

    cleared = clear()

    assert 2 == cleared.needless
    assert cleared.size > 2000
    assert not ended.parent.exists()
    assert not unknown.parent.exists()


def test_a_workspace_that_a_restart_left_behind_goes_and_the_new_one_stays(
    ledger, workspaces, clear
):
    job, _, new = at_work(ledger, workspaces)
    old = put(workspaces.jobs / job.id / "0123456789abcdef")
    clear()
    assert not old.exists()
    assert new.exists()


def test_one_on_another_node_since_is_of_no_use_here(ledger, workspaces, clear):
    job, _, here = waiting(ledger, workspaces)
    ledger.pass_time(61)
    brought_to(ledger, job, "validate", OTHER_NODE)
    clear()
    assert not here.exists()


def test_what_was_just_written_stays_whoever_it_belongs_to(workspaces, clear):
    unknown = put(workspaces.jobs / new_job_id() / "0123456789abcdef", age=50)
    clear()  # two leases are a minute
    assert unknown.exists()


def test_one_that_is_too_old_goes_although_its_job_is_open(ledger, workspaces, clear):
    *_, old = waiting(ledger, workspaces, age=2 * 86400 + 1)
    *_, younger = waiting(ledger, workspaces, age=2 * 86400 - 3600)
    clear()
    assert [False, True] == [old.exists(), younger.exists()]


def test_over_the_budget_the_oldest_that_wait_go_and_those_at_work_stay(ledger, workspaces, clear):
    *_, working = at_work(ledger, workspaces, size=100_000, age=9000)
    folders = [waiting(ledger, workspaces, size=100_000, age=age)[2] for age in (1000, 3000, 2000)]

    cleared = clear(budget=220_000)

    assert 1 == cleared.over_budget
    assert [True, False, True, True] == [each.exists() for each in (*folders, working)]


def test_a_job_whose_workspace_was_dropped_starts_over(ledger, workspaces, clear):
    job, *_ = waiting(ledger, workspaces, size=100_000)
    clear(budget=0)
    ledger.pass_time(61)
    assert not workspaces.holds(ledger.claim(job.id, NODE, "0123456789abcdef").record)


def test_a_dry_run_only_counts(ledger, workspaces, clear):
    *_, dropped = waiting(ledger, workspaces, size=100_000)
    unknown = put(workspaces.jobs / new_job_id() / "0123456789abcdef")
    cleared = clear(budget=0, dry_run=True)
    assert (1, 1) == (cleared.needless, cleared.over_budget)
    assert dropped.exists()
    assert unknown.exists()


@pytest.mark.parametrize(
    "place", ["lost+found/x", f"{uuid4()}/0123456789abcdef", f"{new_job_id()}/logs"]
)
def test_what_another_hand_put_there_is_not_touched(workspaces, clear, place):
    foreign = put(workspaces.jobs / place)
    (workspaces.jobs / "a file").touch()
    clear()
    assert foreign.exists()


def test_what_was_being_deleted_when_the_power_went_is_deleted(ledger, workspaces, clear):
    job, _, new = at_work(ledger, workspaces)
    half = put(workspaces.jobs / job.id / ".dropped-0123456789abcdef")
    clear()
    assert not half.exists()
    assert new.exists()


def test_without_a_ledger_nothing_goes(ledger, workspaces, monkeypatch):
    def out(job_id: str) -> None:
        raise LedgerUnavailable("out")

    monkeypatch.setattr(ledger, "read", out)
    unknown = put(workspaces.jobs / new_job_id() / "0123456789abcdef")
    with pytest.raises(LedgerUnavailable):
        Clearing(ledger, workspaces, GB).clear()
    assert unknown.exists()


def test_a_node_without_workspaces_has_nothing_to_clear(clear):
    assert 0 == clear().needless
