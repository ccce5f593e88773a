"""Crashes as the main process notices and reports them, without a worker."""

from __future__ import annotations

import os
from types import SimpleNamespace

import pytest
from billiard.exceptions import WorkerLostError
from celery.worker.request import Request
from services.waiting import eventually

from uploadmill.backends.ledger.answers import Answer
from uploadmill.errors import LedgerUnavailable
from uploadmill.settings import LedgerSettings
from uploadmill.worker import crashes
from uploadmill.worker.crashes import Crashes, CrashReporter, ReportingRequest
from uploadmill.worker.running import Running, RunningTable

JOB = "0190a000-0000-7000-8000-000000000000"
RUNNING = Running(7, JOB, "3:abc", "resize", 50_000_000)


class ToldLedger:
    """Answers ``crashed`` as told; an exception is raised."""

    def __init__(self, *answers: object, lease: float = 30) -> None:
        self.constants = LedgerSettings(lease=lease)
        self.answers = list(answers)
        self.reports: list[tuple[str, str, str]] = []

    def crashed(self, job_id, token, cause):
        self.reports.append((job_id, token, cause.message))
        answer = self.answers.pop(0) if self.answers else Answer("ok")
        if isinstance(answer, Exception):
            raise answer
        return answer


@pytest.fixture
def noticed():
    """What this process notices of itself, which holds a job."""
    table = RunningTable()
    table.note(JOB, "3:abc", "resize")
    return Crashes(table)


def test_a_crash_is_reported_with_job_token_and_cause():
    ledger = ToldLedger()
    CrashReporter(ledger, []).report(RUNNING, "signal 11 (SIGSEGV); x")
    assert [(JOB, "3:abc", "signal 11 (SIGSEGV); x")] == ledger.reports


def test_a_report_is_repeated_while_redis_is_out_but_not_longer_than_a_lease(monkeypatch):
    monkeypatch.setattr(crashes, "RETRY", 0.01)
    ledger = ToldLedger(LedgerUnavailable("x"), LedgerUnavailable("x"))
    CrashReporter(ledger, []).report(RUNNING, "how")
    assert 3 == len(ledger.reports)

    out = ToldLedger(*[LedgerUnavailable("x")] * 100, lease=0.1)
    CrashReporter(out, []).report(RUNNING, "how")
    assert 1 < len(out.reports) < 30


def test_the_reporter_outlives_what_nobody_foresaw():
    ledger = ToldLedger(ZeroDivisionError())
    reporter = CrashReporter(ledger, [(RUNNING, "first"), (RUNNING, "second")])
    reporter.start()
    assert eventually(lambda: len(ledger.reports) == 2)
    reporter.join()


def test_only_the_largest_memory_is_told_for_certain(noticed, monkeypatch):
    peaks = iter([100_000_000, 100_000_000, 500_000_000])
    monkeypatch.setattr(crashes, "peak_memory", lambda _: next(peaks))
    for _ in range(3):
        noticed.noticed(os.getpid(), "signal 9 (SIGKILL)")
    crash = iter(noticed)

    told = [next(crash)[1] for _ in range(3)]

    assert "signal 9 (SIGKILL); its memory peaked at 100 MB" == told[0]
    assert "before this step" in told[1]
    assert "signal 9 (SIGKILL); its memory peaked at 500 MB" == told[2]


def test_a_child_that_held_no_job_is_nobodys_crash(noticed):
    noticed.noticed(1, "signal 9 (SIGKILL)")
    assert noticed._queue.empty()


@pytest.fixture
def request_of(noticed, monkeypatch):
    """A request of this process, with Celery's own handling left out."""
    for name in ("on_failure", "on_timeout"):
        monkeypatch.setattr(Request, name, lambda *_, **__: "handled")
    request = ReportingRequest.__new__(ReportingRequest)
    request.worker_pid = os.getpid()
    request._task = SimpleNamespace(app=SimpleNamespace(crashes=noticed))
    return request


def raised(error: BaseException) -> SimpleNamespace:
    return SimpleNamespace(exception=error)


def test_a_lost_child_and_the_hard_limit_are_noticed(request_of, noticed):
    lost = WorkerLostError("Worker exited prematurely: signal 9 (SIGKILL) Job: 3.")
    assert "handled" == request_of.on_failure(raised(lost))
    assert "handled" == request_of.on_timeout(soft=False, timeout=90.0)

    crash = iter(noticed)
    assert next(crash)[1].startswith("signal 9 (SIGKILL); ")
    assert next(crash)[1].startswith("the hard time limit of 90 s; ")


def test_only_who_is_beyond_the_hard_limit_must_not_give_its_job_back(request_of, noticed):
    table = noticed._table
    request_of.on_failure(raised(WorkerLostError("Worker exited prematurely: exitcode 3 Job: 3.")))
    request_of.on_timeout(soft=True, timeout=90.0)
    assert not table.condemned
    request_of.on_timeout(soft=False, timeout=90.0)
    assert table.condemned
    # The next job of the same place in the pool begins anew
    table.note(JOB, "4:abc", "pin")
    assert not table.condemned


def test_what_did_not_end_the_child_is_not_noticed(request_of, noticed):
    request_of.on_failure(raised(ValueError("the task's own")))
    request_of.on_timeout(soft=True, timeout=90.0)
    request_of.worker_pid = None
    request_of.on_failure(raised(WorkerLostError("nobody had taken it")))
    assert noticed._queue.empty()
