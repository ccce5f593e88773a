"""Stores and the scanner are down; nothing is lost, and nothing unscanned gets through."""

from __future__ import annotations

import os
import signal
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from services.fake_clamd import Conversation, fake_clamd

from chaos.armed import Armed, lose
from chaos.corpus import BOXES
from chaos.ground import Ground
from chaos.scenario import Scenario
from chaos.scenarios.striking import PATIENCE, armed_ground, wait_until_struck

#: What a broken scanner may say; none of it means that a file is clean.
NONSENSE = (b"", b"OK\0", b"stream: OK", b"stream: MAYBE\0", b"stream: OK FOUND\0", b"\xff\xfe\0")


def lose_stores(ground: Ground) -> None:
    """The primary, then both, then the staging store are away for a while."""
    armed = armed_ground(ground)
    ground.hire_few()
    seconds = 2.0 if ground.short else 20.0
    pause = 0.15
    with ground.submitting(list(ground.corpus.mixed(ground.jobs)), pause=pause):
        ground.pause(1)
        _lose_between_outputs(ground, armed)
        ground.pause(seconds)
        back(ground, "primary")
        for roles in (("primary", "secondary"), ("staging",)):
            ground.pause(1)
            with away(ground, *roles):
                ground.pause(seconds)


def _lose_between_outputs(ground: Ground, armed: Armed) -> None:
    """The primary goes when a job has put the first of its outputs: all go to the secondary."""
    root = ground.folder / "primary"
    root.mkdir(exist_ok=True)
    faults = [f"commit.after_first_put lose {root}"]
    if ground.random.randrange(2):  # then another run finds it gone
        faults.append("commit.after_first_put kill_child")
    entry = ground.submit(ground.corpus.picture(), lambda e: armed.arm(e.id, *faults))
    ground.book.fault("store_out", "primary")
    wait_until_struck(ground, armed)
    end = time.monotonic() + PATIENCE
    while entry.ended is None and time.monotonic() < end:
        ground.pause(0.05)
    parts = {
        role: len(list((ground.folder / role / entry.id).glob("*-*")))
        for role in ("primary.away", "secondary")
    }
    if parts != {"primary.away": 1, "secondary": len(BOXES)}:
        ground.book.first(ground.book.wrong, entry.id, f"it did not fail over as a whole: {parts}")


@contextmanager
def away(ground: Ground, *roles: str) -> Iterator[None]:
    """These stores are out while the block lasts."""
    for role in roles:
        ground.book.fault("store_out", role)
        root = ground.folder / role
        root.mkdir(exist_ok=True)
        lose(root)
    yield
    for role in roles:
        back(ground, role)


def back(ground: Ground, role: str) -> None:
    """The store is there again, with what it had."""
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
