"""All that an upload needs on this machine: servers, local stores, workers, while a block lasts.

``uploadmill dev`` and ``demo``, the acceptance tests and the benchmarks all run in one of these.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from uploadmill.settings import Settings
from uploadmill.settings_sources import CONFIG_VARIABLE, FOREIGN_VARIABLES, PREFIX
from uploadmill.settings_stores import ROLES
from uploadmill.wire import QUEUE
from uploadmill.worker.embedded.clamd import EmbeddedClamd, start_clamd
from uploadmill.worker.embedded.flower import start_flower
from uploadmill.worker.embedded.processes import POLL, Server, require_free
from uploadmill.worker.embedded.sole import sole_use
from uploadmill.worker.embedded.valkey import start_valkey

#: Seconds until a worker must take jobs; one and a half are usual, on a busy machine many more.
WORKER_START_LIMIT = 120.0

#: Seconds a worker gets to finish its steps before it is killed.
WORKER_STOP_LIMIT = 30.0

#: The Celery application that workers run.
APP = "uploadmill.worker"

#: What a worker logs when it takes jobs.
READY = b" ready."

#: What certificates say where clamd knows no other: that nothing else was looked for.
TEST_ONLY = "the EICAR test signature alone"

Signatures = Literal["system", "test only", "none"]


@dataclass
class Worker:
    """A worker process of its own.

    Attributes:
        server: Its process; ``server.log`` is what it logged.
    """

    server: Server

    @property
    def pid(self) -> int:
        """The process id of its main process."""
        return self.server.pid

    @property
    def running(self) -> bool:
        """Whether it has not ended."""
        return self.server.running

    def wait_ready(self) -> None:
        """Return when it takes jobs.

        Raises:
            EmbeddedServerFailed: It ended, or does not get ready.
        """
        self.server.wait_ready(lambda: READY in self.server.log.read_bytes(), WORKER_START_LIMIT)

    def tell(self, how: signal.Signals) -> None:
        """Send it a signal."""
        if self.running:
            os.kill(self.pid, how)

    def stop(self, how: signal.Signals = signal.SIGTERM) -> None:
        """Send a signal, and return when it has ended; one that does not end is killed."""
        self.tell(how)
        self.wait()

    def wait(self) -> None:
        """Return when it has ended; one that takes too long is killed."""
        limit = time.monotonic() + WORKER_STOP_LIMIT
        while self.running and time.monotonic() < limit:
            time.sleep(POLL)
        if self.running:
            self.server.stop()


@dataclass
class Environment:
    """Running servers, and how to reach them.

    Attributes:
        folder: Stores, ledger and logs.
        settings: The settings of all processes in here.
        environ: The whole environment that gives other processes these settings.
        signatures: What uploads are scanned for.
        servers: The processes beside the workers.
        flower_url: For the browser, where a Flower was asked for.
        workers: All that were started, the latest last.
    """

    folder: Path
    settings: Settings
    environ: Mapping[str, str]
    signatures: Signatures
    servers: list[Server]
    flower_url: str | None = None
    workers: list[Worker] = field(default_factory=list)

    @property
    def config(self) -> Path:
        """The settings file; ``UPLOADMILL_CONFIG`` names it in ``environ``."""
        return self.folder / "uploadmill.toml"

    @property
    def worker_log(self) -> Path:
        """What the latest worker logged."""
        return self.workers[-1].server.log

    @property
    def ended(self) -> list[Server]:
        """The processes that should be running, and have ended."""
        every = (*self.servers, *(worker.server for worker in self.workers))
        return [server for server in every if not server.running]

    def start_worker(
        self,
        environ: Mapping[str, str] | None = None,
        *,
        concurrency: int = 2,
        ready: bool = True,
        app: str = APP,
        events: bool = True,
    ) -> Worker:
        """Start one more worker.

        Args:
            environ: Variables for this worker alone.
            concurrency: Jobs at a time.
            ready: Return when it takes jobs; False returns at once.
            app: The Celery application, for a worker with faults of its own.
            events: Tell Flower about tasks and steps.
        """
        name = f"worker{len(self.workers) + 1}"
        server = Server(
            "worker",
            _worker_command(app, name, concurrency, events=events),
            self.folder / f"{name}.log",
            {**self.environ, **(environ or {})},
        )
        worker = Worker(server)
        self.workers.append(worker)
        if ready:
            worker.wait_ready()
        return worker

    def stop_workers(self) -> None:
        """Stop all of them: tell each, then wait for each."""
        for worker in self.workers:
            worker.tell(signal.SIGTERM)
        for worker in self.workers:
            worker.wait()


@contextmanager
def embedded_environment(
    folder: Path,
    *,
    scan: bool,
    workers: int = 0,
    flower_port: int | None = None,
    overrides: Mapping[str, str] | None = None,
    redis_port: int = 0,
    system_signatures: bool = True,
    pipelines: Mapping[str, Any] | None = None,
) -> Iterator[Environment]:
    """Run the servers while the block lasts, and the workers that are started in it.

    Call it from the main thread: servers end with the thread that started them.

    Args:
        folder: Where everything lies, made if it is not there; what it holds outlives the block.
        scan: Run a clamd; False leaves the scan step out, and results say so.
        workers: How many to start at once; more with ``start_worker``.
        flower_port: The port of a Flower, 0 for a free one; None runs none.
        overrides: ``UPLOADMILL_…`` variables above the settings file.
        redis_port: The port of the Valkey; 0 takes a free one.
        system_signatures: Scan with the system's signatures if there are any.
        pipelines: ``[pipelines.NAME]`` of the settings.

    Raises:
        EmbeddedServerFailed: A server is not installed, does not start, or its port is taken; or
            another environment runs in *folder*.
        InvalidSettings: *overrides* or *pipelines* have mistakes.
    """
    folder = folder.resolve()
    folder.mkdir(parents=True, exist_ok=True)
    with ExitStack() as stack:
        stack.enter_context(sole_use(folder))
        # Before anything is started or written: the file of settings names these servers.
        require_free("valkey", redis_port)
        require_free("flower", flower_port or 0)
        valkey = start_valkey(folder / "valkey", redis_port, persistent=True)
        stack.callback(valkey.stop)
        clamd = _start_clamd(stack, system_signatures) if scan else None
        tables = _tables(folder, valkey.url, _scanner(clamd), pipelines or {})
        (folder / "uploadmill.toml").write_text(toml(tables))
        environ = _environ(folder / "uploadmill.toml", overrides or {})
        settings = Settings.load(environ)
        signatures: Signatures = clamd.signatures if clamd else "none"
        servers = [valkey.server, *([clamd.server] if clamd else [])]
        environment = Environment(folder, settings, environ, signatures, servers)
        stack.callback(environment.stop_workers)
        for _ in range(workers):
            environment.start_worker(ready=False)
        if flower_port is not None:
            flower = start_flower(folder / "flower", environ, flower_port)
            stack.callback(flower.stop)
            environment.flower_url = flower.url
            servers.append(flower.server)
        for worker in environment.workers:
            worker.wait_ready()
        yield environment


def _start_clamd(stack: ExitStack, system_signatures: bool) -> EmbeddedClamd:  # noqa: FBT001
    # In a folder of its own below the system's: the path of a socket must be short.
    folder = stack.enter_context(tempfile.TemporaryDirectory(prefix="uploadmill-"))
    clamd = start_clamd(Path(folder), system_signatures=system_signatures)
    stack.callback(clamd.stop)
    return clamd


def _scanner(clamd: EmbeddedClamd | None) -> dict[str, Any]:
    if clamd is None:
        return {"required": False}
    named = {"local_signatures": TEST_ONLY} if clamd.signatures == "test only" else {}
    return {"address": clamd.address, **named}


def _tables(
    folder: Path, redis_url: str, scanner: Mapping[str, Any], pipelines: Mapping[str, Any]
) -> dict[str, Any]:
    """The settings as the file has them."""
    return {
        "redis_url": redis_url,
        **{role: _store(folder / role) for role in ROLES},
        "scanner": scanner,
        "worker": {"workspace": str(folder / "workspace")},
        "pipelines": dict(pipelines),
    }


def _store(folder: Path) -> dict[str, str]:
    # On this machine a file is as public as can be.
    return {"url": folder.as_uri(), "public_url": folder.as_uri()}


def toml(value: Any) -> str:
    """A dictionary as a TOML document of one line per key; tables are written inline."""
    return "".join(f"{json.dumps(key)} = {_inline(item)}\n" for key, item in value.items())


def _inline(value: Any) -> str:
    if isinstance(value, Mapping):
        items = (f"{json.dumps(k)} = {_inline(v)}" for k, v in value.items() if v is not None)
        return "{" + ", ".join(items) + "}"
    if isinstance(value, list | tuple):
        return "[" + ", ".join(map(_inline, value)) + "]"
    # A number, a boolean and a string are written the same in JSON and in TOML.
    return json.dumps(value)


def _environ(config: Path, overrides: Mapping[str, str]) -> dict[str, str]:
    """This process's environment with none of its own settings, and ours instead."""
    foreign = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(PREFIX) and name not in FOREIGN_VARIABLES
    }
    return {**foreign, CONFIG_VARIABLE: str(config), **overrides}


def _worker_command(app: str, name: str, concurrency: int, *, events: bool) -> list[str]:
    # The same as in the Procfile, and a name for each, because several may run here.
    celery = [sys.executable, "-m", "celery", "-A", app, "worker"]
    options = ["--queues", QUEUE, "--without-gossip", "--without-mingle"]
    more = ["--loglevel", "INFO", "--concurrency", str(concurrency), "--hostname", f"{name}@%h"]
    return [*celery, *options, *more, *(["--events"] if events else [])]
