"""The group: what it lists, how it shows mistakes, and that a bad configuration breaks nothing."""

import os
import subprocess
import sys

from click.testing import CliRunner

from uploadmill.errors import InvalidSettings
from uploadmill.worker.cli import COMMANDS, main


def test_the_help_names_every_command():
    result = CliRunner().invoke(main, ["--help"])

    assert 0 == result.exit_code
    listed = result.output.split("Commands:")[1]
    assert list(COMMANDS) == [line.split()[0] for line in listed.strip().splitlines()]


def test_every_command_has_a_help():
    for command in COMMANDS:
        result = CliRunner().invoke(main, [command, "-h"])
        assert 0 == result.exit_code, result.output


def test_an_unknown_command_is_a_usage_error():
    result = CliRunner().invoke(main, ["sumbit"])

    assert 2 == result.exit_code
    assert "No such command 'sumbit'" in result.output


def test_an_error_of_ours_is_a_message_and_not_a_traceback(monkeypatch):
    def broken():
        raise InvalidSettings("this is wrong; do that")

    monkeypatch.setattr("uploadmill.settings.Settings.load", broken)

    result = CliRunner().invoke(main, ["recover"])

    assert 1 == result.exit_code
    assert "Error: this is wrong; do that\n" == result.output


def test_a_bad_configuration_is_explained_and_stops_no_import():
    # Given a process whose settings have a mistake
    environ = {**os.environ, "UPLOADMILL_PRIMRY__URL": "file:///x"}

    # When it imports the worker's application for a command
    command = [sys.executable, "-m", "uploadmill.worker.cli", "check"]
    result = subprocess.run(command, env=environ, capture_output=True, text=True, check=False)

    # Then it says what is wrong instead of breaking
    assert 1 == result.returncode, result.stderr
    assert "UPLOADMILL_PRIMRY__URL: no such setting; did you mean UPLOADMILL_PRIMARY__URL" in (
        result.stdout
    )
    assert "" == result.stderr
