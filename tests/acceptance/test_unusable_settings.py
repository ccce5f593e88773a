"""Settings that stop working under a worker: its operator's affair, and no job's."""

from __future__ import annotations

from services.mill import Mill
from services.waiting import eventually

from uploadmill.job import JobState

#: So few that a single counted run more than the test waits for would fail the job.
ATTEMPTS = 2

OFTEN = {
    "UPLOADMILL_LEDGER__ATTEMPTS_MAX": str(ATTEMPTS),
    "UPLOADMILL_LEDGER__RETRY_DELAY": "0.1",
    "UPLOADMILL_WORKER__SWEEP": "0.2",
}


def test_a_key_file_that_goes_away_costs_no_job_and_is_told_of_each(mill: Mill, tmp_path):
    # Given a worker that started with a key to its primary, before somebody took that away
    key = tmp_path / "key"
    key.write_text("a2V5")
    worker = mill.start(
        extra={
            **OFTEN,
            "UPLOADMILL_PRIMARY__URL": "azure://pictures",
            "UPLOADMILL_PRIMARY__ACCOUNT_URL": "http://127.0.0.1:1/account",
            "UPLOADMILL_PRIMARY__CREDENTIALS_PATH": str(key),
        }
    )
    key.unlink()

    # When a job is tried more often than it may fail
    job = mill.uploads.enqueue(b"Nothing is wrong with this.\n", pipeline="document")
    told = f" settings_unusable job={job.id} step=pin ".encode()

    def lines() -> list[bytes]:
        return [line for line in worker.server.log.read_bytes().splitlines() if told in line]

    # Then each time the log names the job and the reason, and the job waits
    assert eventually(lambda: len(lines()) > 2 * ATTEMPTS)
    assert all(b"storage 'primary': credentials_path cannot be read" in line for line in lines())
    assert mill.uploads.status(job.id).result is None

    # ... and when the key is back it is stored, by the same worker
    key.write_text("a2V5")
    assert JobState.STORED == mill.wait(job.id).state
