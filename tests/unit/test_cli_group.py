"""The group: what it lists, how it shows mistakes, and that a bad configuration breaks nothing."""

import os
import subprocess
import sys

import pytest
from click.testing import CliRunner

from uploadmill.errors import InvalidSettings
from uploadmill.worker.cli import COMMANDS, main


def test_the_help_names_every_command():
    result = CliRunner().invoke(main, ["--help"])

    assert 0 == result.exit_code
    listed = result.output.split("Commands:")[1]
    assert list(COMMANDS) == [line.split()[0] for line in listed.strip().splitlines()]
    assert "..." not in listed  # no line is cut off


def test_every_command_has_a_help():
    for command in COMMANDS:
        result = CliRunner().invoke(main, [command, "-h"])
        assert 0 == result.exit_code, result.output


def test_an_unknown_command_is_a_usage_error():
    result = CliRunner().invoke(main, ["sumbit"])

    assert 2 == result.exit_code
    assert "No such command 'sumbit'" in result.output


def test_where_only_a_producer_is_installed_the_other_commands_say_so():
    # Given an environment without Pillow
    without = "import sys; sys.modules['PIL'] = None; sys.argv[0] = 'uploadmill'; "
    program = without + "from uploadmill.worker.cli import main; main()"

    def run(*arguments: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-c", program, *arguments]
        return subprocess.run(command, capture_output=True, text=True, check=False)

    # Then a worker's command names what it needs, and a producer's works
    check, submit, overview = run("check", "--json"), run("submit", "/missing"), run("--help")
    message = "Error: check is not available here; it needs the package PIL: install uploadmill"
    assert (1, message) == (check.returncode, check.stderr[: len(message)])
    assert "/missing  not accepted" in submit.stdout
    assert 0 == overview.returncode


def test_an_error_of_ours_is_a_message_and_not_a_traceback(monkeypatch):
    def broken():
        raise InvalidSettings("this is wrong; do that")

    monkeypatch.setattr("uploadmill.settings.Settings.load", broken)

    result = CliRunner().invoke(main, ["recover"])

    assert 1 == result.exit_code
    assert "Error: this is wrong; do that\n" == result.output


JOB = "0190d7a0-0000-7000-8000-000000000001"


@pytest.mark.parametrize(
    "command",
    [
        ("submit", __file__),
        ("status", JOB),
        ("cancel", JOB),
        ("failed",),
        ("replay", JOB),
        ("stats",),
        ("recover",),
        ("heal",),
        ("gc",),
        ("canary",),
        ("check",),
        ("storage", "audit"),
        ("storage", "check", "primary"),
        ("dev", "--without-scan"),
    ],
    ids=" ".join,
)
def test_every_command_tells_all_mistakes_of_the_settings_and_no_secret(
    command, tmp_path, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    environ = {
        "UPLOADMILL_REDIS_URL": "redis://:sekr/et@127.0.0.1:1/0",
        "UPLOADMILL_STAGING__URL": "nonsense",
        "UPLOADMILL_LEDGER__LEASE": "-1",
    }

    result = CliRunner().invoke(main, command, env=environ)

    assert isinstance(result.exception, SystemExit), result.exception
    assert 1 == result.exit_code
    for setting in ("redis_url", "staging.url", "ledger.lease"):
        assert 1 == result.output.count(f"{setting}: "), result.output
    assert "sekr" not in result.output
    assert "et@" not in result.output


def test_every_command_tells_that_its_redis_has_an_option_that_there_is_not(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    environ = {"UPLOADMILL_REDIS_URL": "redis://127.0.0.1:1/0?sokcet_timeout=5"}

    for command in (("status", JOB), ("stats",), ("recover",), ("check",)):
        result = CliRunner().invoke(main, command, env=environ)
        assert isinstance(result.exception, SystemExit), result.exception
        assert 1 == result.output.count("redis_url: behind its '?' is an option"), result.output


def test_dev_starts_nothing_for_pipelines_that_cannot_be_spelled_out(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    environ = {"UPLOADMILL_PIPELINES": '{"mine": {"steps": ["scann"]}}'}

    result = CliRunner().invoke(main, ["dev", "--without-scan"], env=environ)

    assert 1 == result.exit_code
    assert "  - pipelines.mine: no step is called 'scann'; did you mean scan?" in result.output
    assert [] == list(tmp_path.iterdir())


def test_an_outage_is_a_message_that_says_where_to_look():
    result = CliRunner().invoke(
        main,
        ["cancel", JOB],
        env={"UPLOADMILL_REDIS_URL": "redis://127.0.0.1:1/0"},
    )

    assert 1 == result.exit_code
    assert "Error: Redis does not serve us" in result.output
    assert "`uploadmill check` says what is wrong" in result.output


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
