"""The scripts that prepare a machine, where something is missing."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from checkout import CHECKOUT
from services.missing import missing


def command(folder: Path, name: str, script: str) -> None:
    """Put a command of our own first on the path."""
    (folder / name).write_text(f"#!/bin/sh\n{script}\n")
    (folder / name).chmod(0o755)


def run(folder: Path, *arguments: str | Path, **variables: str) -> subprocess.CompletedProcess[str]:
    path = f"{folder}:{os.environ['PATH']}"
    return subprocess.run(
        [CHECKOUT / arguments[0], *arguments[1:]],
        env={"PATH": path, "HOME": str(folder), **variables},
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


@pytest.fixture
def rooted_debian(bare_debian: Path) -> Path:
    """The same for root; its ``apt-get`` notes what a package asks before it starts a service."""
    command(bare_debian, "id", "echo 0")
    asking = '"$POLICY_RC_D" clamav-daemon start; echo "$1: $?" >> "${0%/*}/started.log"'
    command(bare_debian, "apt-get", f'echo "$@" >> "${{0%/*}}/apt.log"; {asking}')
    return bare_debian


def install_as_root(folder: Path) -> subprocess.CompletedProcess[str]:
    """Ask for two packages, with the file that keeps services from starting in *folder*."""
    packages = ("clamav-daemon", "libmagic1")
    policy = str(folder / "policy-rc.d")
    return run(folder, "deploy/install-debian.sh", *packages, POLICY_RC_D=policy)


def test_root_gets_what_is_missing_with_services_kept_from_starting(rooted_debian):
    asked = install_as_root(rooted_debian)

    assert 0 == asked.returncode
    called = (rooted_debian / "apt.log").read_text()
    assert re.fullmatch(r"install .*--yes .*clamav-daemon libmagic1\n", called)
    # 101 is Debian's word for "do not start"; afterwards others may install services again
    assert "install: 101\n" == (rooted_debian / "started.log").read_text()
    assert not (rooted_debian / "policy-rc.d").exists()


def test_services_may_start_again_after_a_failed_installation(rooted_debian):
    apt = (rooted_debian / "apt-get").read_text()
    (rooted_debian / "apt-get").write_text(f"{apt}echo no such package; exit 100\n")

    asked = install_as_root(rooted_debian)

    assert 0 == asked.returncode
    assert "no such package\nCould not install clamav-daemon libmagic1" in asked.stderr
    started = (rooted_debian / "started.log").read_text()
    assert "install: 101\nupdate: 101\ninstall: 101\n" == started
    assert not (rooted_debian / "policy-rc.d").exists()


def test_what_the_owner_of_a_machine_has_decided_about_services_stays(rooted_debian):
    command(rooted_debian, "policy-rc.d", "exit 0")
    before = (rooted_debian / "policy-rc.d").read_bytes()

    install_as_root(rooted_debian)

    assert "install: 0\n" == (rooted_debian / "started.log").read_text()
    assert before == (rooted_debian / "policy-rc.d").read_bytes()


@pytest.fixture
def suite(tmp_path: Path) -> Path:
    """A checkout with three rings, an interpreter that says what it ran, and no other Python."""
    for name in ("scripts/test", "scripts/with-libmagic"):
        (tmp_path / "scripts").mkdir(exist_ok=True)
        shutil.copy(CHECKOUT / name, tmp_path / name)
    for ring in ("unit", "chaos", "new"):
        (tmp_path / "tests" / ring).mkdir(parents=True)
        (tmp_path / "tests" / ring / "test_it.py").touch()
    (tmp_path / ".venv" / "bin").mkdir(parents=True)
    command(tmp_path / "scripts", "find-python", "exit 1")
    command(tmp_path / ".venv/bin", "python", '[ "$1" = -c ] || echo "Python 3.11: $*"')
    return tmp_path


def test_each_ring_is_run_once(suite):
    done = run(suite, suite / "scripts" / "test")

    assert 0 == done.returncode, done.stderr
    assert ["chaos", "new", "unit"] == sorted(re.findall(r"^== (.*)", done.stdout, re.MULTILINE))
    ran = re.findall(r"pytest .* tests/(\w+)$", done.stdout, re.MULTILINE)
    assert ["chaos", "new", "unit"] == sorted(ran)
    assert "Missing: Python 3.13. Its unit ring is not run." in done.stdout


def test_the_rings_that_are_named_are_run(suite):
    done = run(suite, suite / "scripts" / "test", "chaos")

    assert ["chaos"] == re.findall(r"^== (.*)", done.stdout, re.MULTILINE)


@pytest.mark.parametrize("ring", ["unit", "chaos", "new"])
def test_a_ring_that_fails_fails_them_all_and_the_others_are_run(suite, ring):
    fails = f'case "$*" in *tests/{ring}) echo broken; exit 1;; esac'
    command(suite / ".venv/bin", "python", fails)

    done = run(suite, suite / "scripts" / "test")

    assert 1 == done.returncode
    assert f"== {ring}\nbroken\n" in done.stdout
    assert 3 == done.stdout.count("== ")


@pytest.mark.parametrize(("ring", "status"), [("unit", 1), ("chaos", 0)])
def test_a_measured_ring_that_leaves_no_coverage_fails(suite, ring, status):
    # Given rings that pass, and the real coverage, which finds nothing that was measured
    combines = f'case "$*" in *"coverage combine"*) exec {sys.executable} "$@";; esac'
    command(suite / ".venv/bin", "python", combines)

    done = run(suite, suite / "scripts" / "test", ring)

    assert status == done.returncode
    assert bool(status) == ("No data to combine" in done.stdout + done.stderr)


@pytest.fixture
def demonstration(tmp_path: Path) -> Path:
    """A checkout whose ``uploadmill`` says how it was called, on a machine without clamd."""
    for folder in ("scripts", ".venv/bin", "machine"):
        (tmp_path / folder).mkdir(parents=True)
    shutil.copy(CHECKOUT / "scripts/demo", tmp_path / "scripts/demo")
    command(tmp_path / "scripts", "with-libmagic", 'exec "$@"')
    command(tmp_path / ".venv/bin", "uploadmill", 'echo "uploadmill $*"')
    for program in ("bash", "dirname"):
        (tmp_path / "machine" / program).symlink_to(shutil.which(program))
    return tmp_path


def demonstrate(folder: Path, **variables: str) -> list[str]:
    """What the script prints; it finds only the programs that lie in *folder*."""
    machine = str(folder / "machine")
    done = subprocess.run(
        [folder / "scripts/demo"],
        env={"PATH": machine, "SBIN": machine, **variables},
        check=True,
        capture_output=True,
        text=True,
    )
    return done.stdout.splitlines()


def test_without_clamd_the_demonstration_says_so_and_runs_without_scan(demonstration):
    said, *how, ran = demonstrate(demonstration)

    assert "No clamd on this machine: the demonstration runs --without-scan." == said
    assert "apt-get install clamav-daemon" in " ".join(how)
    assert "uploadmill demo --without-scan" == ran


def test_without_clamd_a_picture_of_ones_own_is_taken_too(demonstration):
    *_, ran = demonstrate(demonstration, FILE="my photo.jpg")

    assert "uploadmill demo --without-scan -- my photo.jpg" == ran


def test_with_clamd_the_demonstration_scans(demonstration):
    command(demonstration / "machine", "clamd", "exit 0")

    assert ["uploadmill demo"] == demonstrate(demonstration)
