"""What was entered after a job had ended is counted, and nothing else."""

from __future__ import annotations

from chaos.entries import Entered, noted, run_again

FLUSHED = 100.0


def test_only_steps_allowed_after_the_ledger_was_emptied_count_and_only_of_ended_jobs(tmp_path):
    notes = tmp_path / "entries"
    notes.write_text(
        "ended pin 90.5\n"  # it ran, and ended
        "ended scan 99.9\n"
        "open pin 99.0\n"  # it goes on, as it must
        "open pin 101.0\n"
        "again pin 90.0\n"
        "again pin 100.5\n"  # it had ended
        "again scan 100.6\n"
    )
    ended = {"ended", "again"}
    assert {"again": ["pin", "scan"]} == run_again(noted(notes), ended, FLUSHED)


def test_leave_that_was_given_before_is_no_second_run():
    assert {} == run_again([Entered("ended", "commit", FLUSHED)], {"ended"}, FLUSHED)


def test_without_notes_there_is_nothing(tmp_path):
    assert [] == noted(tmp_path / "entries")
