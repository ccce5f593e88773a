"""One scenario in a process of its own, which leaves its row in a file."""

from __future__ import annotations

import ctypes
import json
import os
import signal
import sys
from multiprocessing import get_context
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

from chaos.plain import measuring as plain_celery
from chaos.scenario import run
from chaos.scenarios import CONTROLS, SCENARIOS

#: From linux/prctl.h: the signal a process gets when the thread that forked it ends.
PR_SET_PDEATHSIG = 1


def start(name: str, folder: Path, *, seed: int, short: bool) -> BaseProcess:
    """Play a scenario; what servers it starts end with it.

    Forked, because importing everything anew costs nearly a second, and there are two dozen of
    them: call it from the main thread, while there is no other.
    """
    folder.mkdir(parents=True)
    how = {"seed": seed, "short": short}
    process = get_context("fork").Process(target=_play, args=(name, folder, os.getpid(), how))
    process.start()
    return process


def _play(name: str, folder: Path, parent: int, how: dict[str, Any]) -> None:
    # Whoever ends the campaign ends its scenarios and their servers.
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:
        sys.exit("the campaign ended first")
    with (folder / "output.txt").open("wb") as output:
        for descriptor in (1, 2):
            os.dup2(output.fileno(), descriptor)
    if name == plain_celery.NAME:
        row = plain_celery.measure(folder, **how)
    else:
        row = run({**SCENARIOS, **CONTROLS}[name], folder, **how)
    (folder / "row.json").write_text(json.dumps(row.as_json()))
