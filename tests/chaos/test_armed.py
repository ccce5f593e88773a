"""What is ordered for a job happens to that job, at that point, once, and in that order."""

from __future__ import annotations

import os
import threading

import pytest
from services.waiting import eventually

from chaos import armed as armed_module
from chaos.armed import Armed, lose
from uploadmill.worker.shared import Flag


@pytest.fixture
def armed(tmp_path):
    return Armed(tmp_path / "armed", 0.0)


def test_each_fault_strikes_once_and_in_its_order(armed):
    armed.arm("job-1", "commit.before first", "commit.before second", "finish.after third")
    assert None is armed.at("job-1", "finish.after")
    assert None is armed.at("job-2", "commit.before")
    assert ["first", "second"] == [armed.at("job-1", "commit.before") for _ in range(2)]
    assert "third" == armed.at("job-1", "finish.after")
    assert {} == armed.left
    assert 3 == len(armed.struck)


def test_it_is_told_in_which_process_a_fault_has_struck(armed):
    armed.arm("job-1", "commit.before any")
    assert None is armed.struck_in("job-1")
    armed.at("job-1", "commit.before")
    assert os.getpid() == armed.struck_in("job-1")


def test_the_outputs_of_a_job_are_told_apart(armed):
    told = [armed.which("job-1", "put") for _ in range(3)]
    assert ["first", "second", "last"] == told
    assert "first" == armed.which("job-2", "put")
    assert "first" == armed.which("job-1", "delete")


def test_what_was_taken_back_strikes_no_more(armed):
    armed.arm("job-1", "commit.before any")
    assert armed.disarm("job-1")
    assert None is armed.at("job-1", "commit.before")
    assert not armed.disarm("job-1")


def test_a_store_that_is_lost_keeps_what_it_had(tmp_path):
    root = tmp_path / "primary"
    root.mkdir()
    (root / "object").write_text("kept")
    lose(root)
    assert root.is_file()
    assert "kept" == (tmp_path / "primary.away" / "object").read_text()


def test_who_waits_until_its_worker_is_told_goes_on_then(armed, monkeypatch):
    told = Flag()
    monkeypatch.setattr(armed_module, "STOPPING", told)
    armed.arm("job-1", "scan.before until_told")
    waiting = threading.Thread(target=armed.strike, args=("job-1", "scan.before"))
    waiting.start()
    assert eventually(lambda: armed.struck)
    assert waiting.is_alive()
    told.set()
    waiting.join(30)
    assert not waiting.is_alive()
