"""Flags that children see, whenever they were forked."""

from __future__ import annotations

import os
import time

from uploadmill.worker.shared import Flag


def test_a_child_forked_before_sees_a_flag_set_later():
    flag = Flag()
    pid = os.fork()
    if pid == 0:
        end = time.monotonic() + 5
        while not flag and time.monotonic() < end:
            time.sleep(0.005)
        os._exit(0 if flag else 1)
    assert not flag
    flag.set()
    assert 0 == os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


def test_a_flag_can_be_taken_back():
    flag = Flag()
    flag.set()
    flag.set(False)
    assert not flag
