"""Workspaces: a node's identity, a job's folder, and what is still whole in it."""

from __future__ import annotations

import hashlib
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime

import pytest

from uploadmill.backends.ledger.record import Record, WorkFile
from uploadmill.ids import new_job_id
from uploadmill.job import StagedObject, UploadJob
from uploadmill.worker.workspace import Workspaces


@pytest.fixture
def workspaces(tmp_path):
    return Workspaces(tmp_path / "node")


def record() -> Record:
    job = UploadJob(
        id=new_job_id(),
        pipeline="photo",
        staged=StagedObject(key="uploads/x/y", size=3),
        enqueued_at=datetime.now(UTC),
    )
    return Record(
        version=1, job=job, step="scan", accepted_at=datetime.now(UTC), workspace_id="abc"
    )


def with_file(workspaces: Workspaces, content: bytes) -> Record:
    plain = record()
    (workspaces.make(plain) / "pin-1-abc-original").write_bytes(content)
    file = WorkFile(
        name="pin-1-abc-original",
        output="original",
        sha256=hashlib.sha256(content).hexdigest(),
        size=len(content),
    )
    return replace(plain, files={"pin": (file,)})


def test_a_node_keeps_its_id(workspaces, tmp_path):
    first = workspaces.node
    assert len(first) == 16
    assert first == workspaces.node == Workspaces(tmp_path / "node").node
    assert first != Workspaces(tmp_path / "other").node


def test_processes_that_start_together_agree_on_the_id(workspaces):
    with ThreadPoolExecutor(8) as pool:
        ids = set(pool.map(lambda _: workspaces.node, range(32)))
    assert 1 == len(ids)
    assert ["jobs", "node"] == sorted(path.name for path in workspaces.root.iterdir())


def test_a_folder_is_private_and_of_one_claim(workspaces):
    folder = workspaces.make(record())
    assert 0o700 == folder.stat().st_mode & 0o777
    assert "abc" == folder.name


def test_before_pin_nothing_is_needed(workspaces):
    assert workspaces.holds(record())


def test_whole_files_are_held(workspaces):
    assert workspaces.holds(with_file(workspaces, b"abc"))


def test_a_torn_or_missing_file_is_noticed(workspaces):
    kept = with_file(workspaces, b"abc")
    path = workspaces.folder(kept) / "pin-1-abc-original"
    path.write_bytes(b"ab")
    assert not workspaces.holds(kept)
    path.unlink()
    assert not workspaces.holds(kept)


def test_remove_takes_every_workspace_of_the_job_and_no_other(workspaces):
    gone, kept = record(), record()
    workspaces.make(gone)
    workspaces.make(replace(gone, workspace_id="def"))
    workspaces.make(kept)
    workspaces.remove(gone.job.id)
    assert [kept.job.id] == [path.name for path in workspaces.jobs.iterdir()]
