"""A real RabbitMQ: own ports, own folder, loopback only, ended by its process id."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from kombu import Connection
from kombu.message import Message

from uploadmill.worker.embedded.processes import Server, free_port

#: The programs themselves; those on the PATH of a Debian system change the user first.
PROGRAMS = Path("/usr/lib/rabbitmq/bin")

#: Seconds the server may take; it needs seven, and on a busy machine forty.
START_LIMIT = 180.0

#: Seconds one ``rabbitmqctl`` may take; it needs one to ten, and on a busy machine over sixty.
CONTROL_LIMIT = 180.0

#: Seconds after which the declaration of a queue outlives a power cut, which at 0.5 RabbitMQ 3.10
#: does not: the queue is there without a leader from then on, and only deleting it helps.
SETTLED = 1.5

#: Seconds to wait for one answer.
PATIENCE = 5.0

#: What it prints when it serves.
READY = b"Server startup complete"

#: Who may use it: a password that no text holds by chance, so that tests find it where it leaks.
USER, PASSWORD = "mill", "opensesame-of-rabbitmq"

CONFIG = """\
listeners.tcp.1 = 127.0.0.1:{port}
loopback_users = none
default_user = {user}
default_pass = {password}
log.console = true
log.file = false
# The default wants two gigabytes of free disk.
disk_free_limit.absolute = 50MB
"""


def find_rabbitmq() -> Path | None:
    """The server's program; None where it is not installed."""
    program = PROGRAMS / "rabbitmq-server"
    return program if program.exists() and shutil.which("epmd") else None


@dataclass
class RabbitMQ:
    """A server that can be frozen, killed, started again, and put under alarm.

    Attributes:
        folder: Its configuration, messages and log.
    """

    folder: Path

    def __post_init__(self) -> None:
        self.port, self._names_port, self._nodes_port = free_port(), free_port(), free_port()
        self.folder.mkdir(parents=True, exist_ok=True)
        (self.folder / "rabbitmq.conf").write_text(
            CONFIG.format(port=self.port, user=USER, password=PASSWORD)
        )
        (self.folder / "plugins").write_text("[].")

    @property
    def url(self) -> str:
        """For kombu and Celery."""
        return f"amqp://{USER}:{PASSWORD}@127.0.0.1:{self.port}//"

    @property
    def pid(self) -> int:
        """The process id of the server that runs now."""
        return self._server.pid

    def start(self) -> None:
        """Start it, or start it again with the messages it had."""
        # Erlang's directory of nodes. One that the server started itself would outlive it.
        program = shutil.which("epmd") or "epmd"
        command = [program, "-address", "127.0.0.1", "-port", str(self._names_port)]
        self._names = Server("epmd", command, self.folder / "epmd.log")
        self._names.wait_ready(lambda: _listens(self._names_port), START_LIMIT)
        log = self.folder / "rabbitmq.log"
        self._server = Server("rabbitmq", [str(find_rabbitmq())], log, self._environ)
        self._server.wait_ready(lambda: READY in log.read_bytes(), START_LIMIT)

    def stop(self) -> None:
        """End it as an operator does; from now on connections are refused."""
        self._server.stop()
        self._names.stop()

    def kill(self) -> None:
        """End it as a power cut does."""
        os.kill(self.pid, signal.SIGKILL)
        self.stop()

    def freeze(self) -> None:
        """A black hole from now on: the kernel accepts connections, nobody answers."""
        os.kill(self.pid, signal.SIGSTOP)

    def thaw(self) -> None:
        """Go on."""
        os.kill(self.pid, signal.SIGCONT)

    @contextmanager
    def frozen(self) -> Iterator[None]:
        """Frozen while the block lasts."""
        self.freeze()
        try:
            yield
        finally:
            self.thaw()

    @contextmanager
    def memory_alarm(self) -> Iterator[None]:
        """While the block lasts it has no memory left and stops reading from publishers."""
        self.control("set_vm_memory_high_watermark", "0.0000001")
        try:
            yield
        finally:
            self.control("set_vm_memory_high_watermark", "0.4")

    def queues(self) -> dict[str, str]:
        """Each queue with its type and arguments. Its counts of messages lag by seconds."""
        columns = ("name", "type", "arguments")
        lines = self.control("list_queues", *columns, "--no-table-headers").splitlines()
        return {name: how for name, _, how in (line.partition("\t") for line in lines)}

    def delete(self, queue: str) -> None:
        """Delete a queue with its messages, if it is there."""
        with self._connection() as connection:
            connection.default_channel.queue_delete(queue)

    def take(self, queue: str) -> Message | None:
        """The next message of a queue, taken off it."""
        with self._connection() as connection:
            message = connection.default_channel.basic_get(queue, no_ack=True)
            return connection.default_channel.message_to_python(message) if message else None

    def give_back(self, queue: str) -> int | None:
        """Take the next message and go away without a word, as a worker does that is killed.

        Returns:
            How often that message had come back before; None where there was none.
        """
        with self._connection() as connection:
            message = connection.default_channel.basic_get(queue)
            return message and message.headers.get("x-delivery-count", 0)

    def control(self, *arguments: str) -> str:
        """What ``rabbitmqctl`` prints."""
        command = [str(PROGRAMS / "rabbitmqctl"), "--quiet", *arguments]
        done = subprocess.run(
            command,
            env=self._environ,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=CONTROL_LIMIT,
            check=False,
        )
        if done.returncode:
            raise RuntimeError(f"rabbitmqctl {arguments}: {(done.stderr or done.stdout)[-500:]!r}")
        return done.stdout.decode()

    def _connection(self) -> Connection:
        options = {"read_timeout": PATIENCE, "write_timeout": PATIENCE}
        return Connection(self.url, transport_options=options)

    @cached_property
    def _environ(self) -> dict[str, str]:
        return {
            "PATH": os.environ["PATH"],
            "LANG": "C.UTF-8",
            # Where the cookie lies that lets rabbitmqctl in.
            "HOME": str(self.folder),
            "RABBITMQ_NODENAME": f"rabbit{self.port}@localhost",
            "RABBITMQ_MNESIA_BASE": str(self.folder / "mnesia"),
            "RABBITMQ_LOG_BASE": str(self.folder / "log"),
            "RABBITMQ_CONFIG_FILE": str(self.folder / "rabbitmq.conf"),
            "RABBITMQ_ENABLED_PLUGINS_FILE": str(self.folder / "plugins"),
            "RABBITMQ_CONF_ENV_FILE": "/dev/null",
            "RABBITMQ_DIST_PORT": str(self._nodes_port),
            "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS": (
                "-start_epmd false -kernel inet_dist_use_interface {127,0,0,1} "
                # On few cores its schedulers should not spin while they wait.
                "+sbwt none +sbwtdcpu none +sbwtdio none"
            ),
            "ERL_EPMD_PORT": str(self._names_port),
            "ERL_EPMD_ADDRESS": "127.0.0.1",
            # Then the script becomes the server, and its process id is ours to end.
            "RUNNING_UNDER_SYSTEMD": "true",
        }


@contextmanager
def rabbitmq(folder: Path) -> Iterator[RabbitMQ]:
    """A RabbitMQ while the block lasts. Enter it from the main thread."""
    server = RabbitMQ(folder)
    server.start()
    try:
        yield server
    finally:
        server.kill()


def _listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0
