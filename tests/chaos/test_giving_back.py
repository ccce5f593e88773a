"""A worker that gives its jobs back too late is counted, in both forms of the campaign."""

from __future__ import annotations

import time

import pytest

from chaos.book import Book
from chaos.scenarios.rolling import GIVE_BACK, TOOK, await_giving_back
from uploadmill.settings import LedgerSettings


@pytest.fixture
def book(tmp_path):
    return Book(tmp_path / "faults.txt")


def test_no_lease_that_runs_out_is_fast_enough_in_the_long_form():
    assert GIVE_BACK[False] < LedgerSettings().lease - LedgerSettings().renew


def test_jobs_given_back_in_time_are_measured(book):
    await_giving_back(book, lambda: {"other"}, {"mine"}, time.monotonic() - 9, 10)
    assert {} == book.wrong
    assert 9 <= book.measured[TOOK] < 10


def test_one_job_that_is_not_given_back_is_wrong(book):
    held = {"mine", "other"}
    await_giving_back(book, lambda: held, {"mine", "gone"}, time.monotonic() - 10, 10)
    assert {"giving back": "a stopped worker took longer than 10 s"} == book.wrong


def test_a_worker_that_goes_too_late_is_wrong_too(book):
    await_giving_back(book, set, {"mine"}, time.monotonic() - 11, 10)
    assert ["giving back"] == list(book.wrong)
