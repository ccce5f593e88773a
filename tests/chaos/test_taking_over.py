"""A take-over that comes too late is counted, in both forms of the campaign."""

from __future__ import annotations

import time

import pytest

from chaos.book import Book
from chaos.scenarios.taking_over import TAKE_OVER, TOOK, await_take_over
from uploadmill.settings import LedgerSettings

BEFORE = {"first": "1", "second": "4"}


@pytest.fixture
def book(tmp_path):
    return Book(tmp_path / "faults.txt")


def test_the_long_form_allows_thirty_five_seconds_at_the_default_lease():
    assert 35.0 == LedgerSettings().lease + TAKE_OVER[False]


def test_jobs_that_run_again_in_time_are_measured(book):
    await_take_over(book, lambda: {"first": "2", "second": "5"}, BEFORE, time.monotonic() - 20, 35)
    assert {} == book.wrong
    assert 20 <= book.measured[TOOK] < 35


def test_one_job_that_does_not_is_wrong(book):
    await_take_over(book, lambda: {"first": "2", "second": "4"}, BEFORE, time.monotonic() - 35, 35)
    assert {"take-over": "not all run again within 35 s"} == book.wrong
    assert book.measured[TOOK] >= 35


def test_jobs_that_run_again_too_late_are_wrong_too(book):
    await_take_over(book, lambda: {"first": "2", "second": "5"}, BEFORE, time.monotonic() - 36, 35)
    assert ["take-over"] == list(book.wrong)
