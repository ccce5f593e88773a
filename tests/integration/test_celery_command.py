"""Celery's own command on our application: a mistake in the settings is a message."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest


def celery(*arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "celery", "-A", "uploadmill.worker", *arguments],
        env=os.environ | variables,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


@pytest.mark.parametrize(
    ("variables", "messages"),
    [
        (
            {
                "UPLOADMILL_WORKER__SWEP": "1",
                "UPLOADMILL_PRIMARY__URL": "s3://me:pass-word@bucket",
            },
            ("did you mean UPLOADMILL_WORKER__SWEEP", "do not belong in a URL"),
        ),
        ({"UPLOADMILL_WORKER__VISIBILITY_TIMEOUT": "60"}, ("at most half of",)),
    ],
    ids=["names and values", "limits"],
)
def test_a_mistake_in_the_settings_ends_the_command_with_its_message(variables, messages):
    ended = celery("worker", **variables)

    assert 1 == ended.returncode
    assert all(message in ended.stderr for message in messages)
    assert "Traceback" not in ended.stderr
    assert "pass-word" not in ended.stdout + ended.stderr


def test_a_worker_that_could_only_fail_its_jobs_does_not_start(tmp_path):
    # Given settings that are well written, on a machine on which none of them can work
    (tmp_path / "boto3.py").write_text("raise ModuleNotFoundError('it is not here', name='boto3')")

    # When a worker starts, whose broker would keep it waiting if it came so far
    ended = celery(
        "worker",
        PYTHONPATH=str(tmp_path),
        UPLOADMILL_REDIS_URL="redis://127.0.0.1:1/0?sokcet_timeout=5",
        UPLOADMILL_STAGING__URL="azure://uploads",
        UPLOADMILL_PRIMARY__URL="s3://pictures",
        UPLOADMILL_SECONDARY__URL="gs://pictures",
        UPLOADMILL_SECONDARY__CREDENTIALS_PATH=str(tmp_path / "key.json"),
        UPLOADMILL_PREFIX="a/../b",
        UPLOADMILL_WORKER__LIVENESS_FILE=str(tmp_path / "none" / "alive"),
        UPLOADMILL_QUARANTINE__URL="azure://quarantine",
        UPLOADMILL_QUARANTINE__ACCOUNT_URL="https://a.blob.core.windows.net",
        UPLOADMILL_QUARANTINE__CREDENTIALS_PATH=str(tmp_path / "key"),
    )

    # Then it ends, and says what is to be done about each
    assert 1 == ended.returncode
    assert [
        "no job can be worked on with these settings:",
        "  - redis_url: behind its '?' is an option, or a value of one, that redis-py cannot take",
        (
            "  - broker_url (where unset, redis_url): behind its '?' is an option, or a value of "
            "one, that Celery cannot take"
        ),
        "  - storage 'staging': account_url is missing; write https://ACCOUNT.blob.core.windows.net",
        (
            "  - storage 'primary': S3Storage needs boto3, which is not installed: "
            "pip install 'uploadmill[s3]'"
        ),
        "  - storage 'quarantine': credentials_path cannot be read: FileNotFoundError",
        "  - prefix: no key can begin with it, or it is too long",
        "  - secondary.credentials_path: there is no file that this user may read",
        "  - worker.liveness_file: it cannot be touched by this user, or has no folder",
    ] == ended.stderr.rpartition("Error: ")[2].splitlines()


def test_limits_that_do_not_fit_are_told_with_all_else_that_is_wrong():
    pipelines = '{"mine": {"steps": ["scann"]}, "other": {"steps": [{"step": "pin"}]}}'

    ended = celery(
        "worker", UPLOADMILL_PIPELINES=pipelines, UPLOADMILL_STAGING__URL="azure://uploads"
    )

    assert 1 == ended.returncode
    assert "  - storage 'staging': account_url is missing" in ended.stderr
    assert "  - pipelines.mine: no step is called 'scann'; did you mean scan?" in ended.stderr
    assert "  - pipelines.other: no step is called 'pin'" in ended.stderr
    assert "Traceback" not in ended.stderr
