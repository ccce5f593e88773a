"""The scripts that prepare a machine, where something is missing."""

import os
import subprocess
from pathlib import Path

import pytest
from checkout import CHECKOUT
from services.missing import missing


def command(folder: Path, name: str, script: str) -> None:
    """Put a command of our own first on the path."""
    (folder / name).write_text(f"#!/bin/sh\n{script}\n")
    (folder / name).chmod(0o755)


def run(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    path = f"{folder}:{os.environ['PATH']}"
    return subprocess.run(
        [CHECKOUT / arguments[0], *arguments[1:]],
        env={"PATH": path, "HOME": str(folder)},
        check=False,
        capture_output=True,
        text=True,
    )


def test_a_shim_that_does_not_run_is_no_python(tmp_path):
    command(tmp_path, "python3.99", "echo no such version >&2; exit 127")

    found = run(tmp_path, "scripts/find-python", "3.99")

    assert (1, "") == (found.returncode, found.stdout)


def test_an_interpreter_of_another_version_is_not_taken(tmp_path):
    command(tmp_path, "python3.99", 'exec python3 "$@"')

    assert 1 == run(tmp_path, "scripts/find-python", "3.99").returncode


def test_an_interpreter_under_pyenv_is_found_behind_a_broken_shim(tmp_path):
    real = tmp_path / ".pyenv" / "versions" / "3.99.1" / "bin"
    real.mkdir(parents=True)
    command(tmp_path, "python3.99", "exit 127")
    command(real, "python", "echo /found/python")

    assert "/found/python\n" == run(tmp_path, "scripts/find-python", "3.99").stdout


@pytest.fixture
def bare_debian(tmp_path: Path) -> Path:
    """Commands of a Debian that has none of the packages asked for."""
    if not Path("/etc/debian_version").exists():
        missing("Debian")
    command(tmp_path, "dpkg-query", "exit 1")
    command(tmp_path, "apt-get", f'echo "$@" >> {tmp_path}/apt.log')
    return tmp_path


def test_without_root_nothing_is_installed_and_the_command_is_named(bare_debian):
    command(bare_debian, "id", "echo 1000")

    asked = run(bare_debian, "deploy/install-debian.sh", "libmagic1", "clamav-daemon")

    assert 0 == asked.returncode
    assert "sudo apt-get install libmagic1 clamav-daemon" in asked.stderr
    assert not (bare_debian / "apt.log").exists()


def test_what_is_installed_is_not_installed_again(bare_debian):
    command(bare_debian, "id", "echo 0")
    command(bare_debian, "dpkg-query", "printf installed")

    asked = run(bare_debian, "deploy/install-debian.sh", "libmagic1")

    assert (0, "") == (asked.returncode, asked.stderr)
    assert not (bare_debian / "apt.log").exists()
