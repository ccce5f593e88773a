"""Stores and the scanner are down; nothing is lost, and nothing unscanned gets through."""

from __future__ import annotations

import os
import signal
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from services.fake_clamd import Conversation, fake_clamd

from chaos.ground import Ground
from chaos.scenario import Scenario

#: What a broken scanner may say; none of it means that a file is clean.
NONSENSE = (b"", b"OK\0", b"stream: OK", b"stream: MAYBE\0", b"stream: OK FOUND\0", b"\xff\xfe\0")


def lose_stores(ground: Ground) -> None:
    """The primary, then both, then the staging store are away for a while."""
    ground.hire_few()
    seconds = 2.0 if ground.short else 20.0
    pause = 0.15
    with ground.submitting(list(ground.corpus.mixed(ground.jobs)), pause=pause):
        for roles in (("primary",), ("primary", "secondary"), ("staging",)):
            ground.pause(1)
            with away(ground, *roles):
                ground.pause(seconds)


@contextmanager
def away(ground: Ground, *roles: str) -> Iterator[None]:
    """Where the store's folder was lies a file: an outage, until the folder is back."""
    for role in roles:
        ground.book.fault("store_out", role)
        root = ground.folder / role
        root.mkdir(exist_ok=True)
        root.rename(root.with_suffix(".away"))
        root.touch()
    yield
    for role in roles:
        root = ground.folder / role
        root.unlink()
        root.with_suffix(".away").rename(root)
        ground.book.note(f"store back {role}")


STORES = Scenario("stores_down", lose_stores, jobs=(600, 70))


def lose_scanner(ground: Ground) -> None:
    """clamd is gone, then hangs, then answers nonsense; one file in ten is infected."""
    seconds = 2.0 if ground.short else 20.0
    uploads = list(ground.corpus.mixed(ground.jobs, infected=0.1))
    with tempfile.TemporaryDirectory(prefix="scan-") as folder:
        socket = Path(folder) / "clamd.sock"
        real = Path(ground.environment.settings.scanner.address.removeprefix("unix://"))
        socket.symlink_to(real)
        address = {"UPLOADMILL_SCANNER__ADDRESS": f"unix://{socket}"}
        ground.hire_few(environ={**address, "UPLOADMILL_SCANNER__TIMEOUT": "1"})
        with ground.submitting(uploads, pause=0.1):
            ground.pause(1)
            ground.book.fault("scanner_gone")
            _lead_to(socket, Path(folder) / "nobody")
            ground.pause(seconds)
            _lead_to(socket, real)
            _hang(ground, seconds)
            for said in NONSENSE:
                _talk_nonsense(ground, socket, said, seconds / len(NONSENSE))
            _lead_to(socket, real)
        # The link goes with this block, so the workers that used it go first.
        ground.stop_warm(ground.crew)
        for member in ground.crew:
            member.environ = {}


def _hang(ground: Ground, seconds: float) -> None:
    ground.book.fault("scanner_hangs")
    pid = ground.environment.servers[1].pid
    os.kill(pid, signal.SIGSTOP)
    ground.pause(seconds)
    os.kill(pid, signal.SIGCONT)
    ground.pause(1)


def _talk_nonsense(ground: Ground, socket: Path, said: bytes, seconds: float) -> None:
    ground.book.fault("scanner_nonsense", repr(said))

    def answer(conversation: Conversation) -> None:
        conversation.read_stream()
        conversation.say(said)

    with (
        tempfile.TemporaryDirectory(prefix="fake-") as folder,
        fake_clamd(Path(folder), answer) as address,
    ):
        _lead_to(socket, Path(address.removeprefix("unix://")))
        ground.pause(seconds)


def _lead_to(link: Path, target: Path) -> None:
    fresh = link.with_suffix(".fresh")
    fresh.symlink_to(target)
    fresh.replace(link)


SCANNER = Scenario("scanner_down", lose_scanner, jobs=(600, 70))
