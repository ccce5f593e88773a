"""What a child notes of its work is read after its death; a table torn or full tells nothing."""

from __future__ import annotations

import os
import signal
import time

from billiard import Process

from uploadmill.worker import running
from uploadmill.worker.running import RunningTable

JOB = "0190a000-0000-7000-8000-000000000000"


def test_a_dead_childs_job_token_and_step_are_known():
    table = RunningTable()
    pid = os.fork()
    if pid == 0:
        table.note(JOB, "7:abc", "resize")
        os.kill(os.getpid(), signal.SIGKILL)
    os.waitpid(pid, 0)

    found = table.of(pid)

    assert found is not None
    assert (pid, JOB, "7:abc", "resize") == (found.pid, found.job_id, found.token, found.step)
    assert 1e6 < found.memory < 1e9
    assert {JOB} == table.jobs()


def test_the_latest_note_counts_and_a_cleared_one_is_gone():
    table = RunningTable()
    table.note(JOB, "7:a-rather-long-token", "extract_metadata")
    table.note(JOB, "8:b", "pin")
    assert "8:b" == table.of(os.getpid()).token
    table.clear()
    assert table.of(os.getpid()) is None
    assert set() == table.jobs()


def test_each_place_in_the_pool_has_a_slot_of_its_own():
    table = RunningTable()
    children = [Process(target=table.note, args=(f"job-{i}", "1:a", "pin")) for i in range(3)]
    for index, child in enumerate(children):
        child.index = index
        child.start()
    for child in children:
        child.join()
    assert ["job-0", "job-1", "job-2"] == [table.of(child.pid).job_id for child in children]


def test_a_process_id_that_begins_like_another_is_another():
    table = RunningTable()
    table.note(JOB, "1:a", "pin")
    assert table.of(int(str(os.getpid())[:-1])) is None


def test_half_a_line_says_nothing():
    table = RunningTable()
    table._write(f"{os.getpid()} {JOB} 1:a\n".encode())
    assert table.of(os.getpid()) is None


def test_a_note_takes_microseconds():
    table = RunningTable()
    began = time.process_time()
    for _ in range(1000):
        table.note(JOB, "7:0123456789abcdef", "extract_metadata")
    assert time.process_time() - began < 0.1


def test_a_pool_larger_than_the_table_notes_nothing(monkeypatch):
    monkeypatch.setattr(running, "SLOTS", 0)
    table = RunningTable.__new__(RunningTable)
    table._write(b"anything")
