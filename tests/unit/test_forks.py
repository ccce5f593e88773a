"""A child that is forked beside a sweep can use what the sweeper was using."""

from __future__ import annotations

import subprocess
import sys

import pytest
from services.waiting import PATIENCE

#: A process whose sweeper holds a lock of the whole process again and again, while it forks.
FORKING = """
import os, sys, threading, time
from types import SimpleNamespace
from uploadmill.worker.sweeper import Sweeper

lock, held = threading.Lock(), threading.Event()

def use(what, answer):
    if what == sys.argv[1]:
        with lock:
            held.set()
            time.sleep(0.2)
    return answer

ledger = SimpleNamespace(due=lambda *_, **__: ["job"])
backlog = SimpleNamespace(heads=lambda: use("backlog", []))
Sweeper(ledger, backlog, lambda _: use("publisher", True), 0.01).start()
held.wait()
pid = os.fork()
if pid == 0:
    os._exit(0 if lock.acquire(timeout=5) else 1)
os._exit(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
"""


@pytest.mark.parametrize("used", ["backlog", "publisher"])
def test_a_child_forked_beside_a_sweep_finds_no_lock_held(used):
    command = [sys.executable, "-c", FORKING, used]
    assert 0 == subprocess.run(command, timeout=PATIENCE, check=False).returncode
