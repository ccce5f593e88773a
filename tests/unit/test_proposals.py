"""How a job could end, as the ledger's word and the record give it."""

from datetime import UTC, datetime, timedelta

import pytest
from services.timed_ledger import NOW, certificate, new_job, note, pinned_file

from uploadmill.backends.ledger import proposals
from uploadmill.backends.ledger.record import Record
from uploadmill.errors import CorruptUpload, StorageUnavailable
from uploadmill.job import ErrorData, JobState
from uploadmill.settings import LedgerSettings

CONSTANTS = LedgerSettings()
STORE_OUT = ErrorData(code="storage_unavailable", step="pin", message="the store is out")


def record(**changes):
    facts = {"version": 1, "job": new_job(), "step": "scan", "accepted_at": NOW}
    return Record(**{**facts, **changes})


def test_a_cancelled_job_keeps_its_bytes_as_long_as_a_rejected_one():
    outcome = proposals.from_ending("cancelled", record(), CONSTANTS)

    assert (outcome.state, outcome.result.error) == (JobState.CANCELLED, None)
    kept = outcome.keep_until - datetime.now(UTC)
    assert kept == pytest.approx(
        timedelta(seconds=CONSTANTS.keep_rejected), abs=timedelta(seconds=9)
    )


def test_a_failed_job_keeps_its_bytes_longer_and_its_last_error():
    outcome = proposals.from_ending(
        "failed:storage_unavailable", record(error=STORE_OUT), CONSTANTS
    )

    assert (outcome.state, outcome.result.error) == (JobState.FAILED, STORE_OUT)
    kept = outcome.keep_until - datetime.now(UTC)
    assert kept == pytest.approx(timedelta(seconds=CONSTANTS.keep_failed), abs=timedelta(seconds=9))


@pytest.mark.parametrize(
    ("ending", "message"),
    [
        ("failed:deadline", "the job did not end before its deadline"),
        ("failed:poison", "this step killed its worker too often; the staged bytes are kept"),
        ("failed:step_failed", "the job was given up"),
    ],
)
def test_an_end_of_another_kind_than_the_last_error_explains_itself(ending, message):
    error = proposals.from_ending(ending, record(error=STORE_OUT), CONSTANTS).result.error

    code = ending.removeprefix("failed:")
    assert error == ErrorData(code=code, step="scan", message=message)


def test_a_result_tells_what_the_finished_steps_found_out():
    done = record(
        notes={"pin": note("pin", extracted={"a": 1}), "scan": note("scan", extracted={"b": 2})},
        certificate=certificate(),
    )

    result = proposals.ended_badly(done.job, JobState.REJECTED, CONSTANTS, STORE_OUT, done).result

    assert [receipt.step for receipt in result.receipts] == ["pin", "scan"]
    assert result.extracted == {"a": 1, "b": 2}
    assert result.certificate == certificate()
    assert result.times.accepted_at == NOW


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (CorruptUpload("cut off"), ("corrupt_upload", "cut off", False)),
        (
            StorageUnavailable("staging", "timed out"),
            ("storage_unavailable", "storage 'staging' is unavailable: timed out", True),
        ),
    ],
)
def test_an_error_becomes_data(error, expected):
    data = proposals.error_data(error, "validate")

    assert (data.code, data.message, data.retryable) == expected
    assert data.step == "validate"


def test_the_files_and_the_type_of_a_record_are_the_latest():
    resized = pinned_file().model_copy(update={"name": "resize-1-x-thumb", "output": "thumb"})
    known = record(
        files={"pin": (pinned_file(),), "validate": (), "resize": (resized,)},
        notes={"pin": note("pin"), "validate": note("validate", content_type="image/png")},
    )

    assert known.current == (resized,)
    assert known.content_type == "image/png"
    assert (record().current, record().content_type) == ((), None)
