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
