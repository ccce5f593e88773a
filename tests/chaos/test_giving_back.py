"""A worker that gives its jobs back too late is counted, in both forms of the campaign."""

from __future__ import annotations

import time

import pytest

from chaos.book import Book
from chaos.scenarios.rolling import (
    GIVE_BACK,
    GIVEN_BACK,
    ROLLING,
    SHORT_LEASE,
    TOOK,
    await_giving_back,
    count_given_back,
)
from uploadmill.settings import LedgerSettings


@pytest.fixture
def book(tmp_path):
    return Book(tmp_path / "faults.txt")


@pytest.mark.parametrize("short", [False, True])
def test_no_lease_that_runs_out_is_fast_enough(short):
    ledger = LedgerSettings(lease=SHORT_LEASE) if short else LedgerSettings()
    assert GIVE_BACK[short] < ledger.lease - ledger.renew


def test_the_short_form_has_the_lease_of_which_that_is_true():
    assert f"{SHORT_LEASE:g}" == ROLLING.short_settings["UPLOADMILL_LEDGER__LEASE"]


def test_a_job_in_hand_that_is_given_back_is_counted(book):
    log = "INFO job_released job=1-a step=scan delay=0.0\nINFO job_ended job=1-b\n"
    count_given_back(book, log, "1-a")
    assert ({}, 1) == (book.wrong, book.measured[GIVEN_BACK])


def test_one_that_somebody_had_to_take_over_is_wrong(book):
    log = "INFO job_released job=1-a step=scan delay=0.0\nINFO job_ended job=1-b\n"
    count_given_back(book, log, "1-b")
    assert {"1-b": "not given back by a worker that was told to stop"} == book.wrong
    assert GIVEN_BACK not in book.measured


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
