"""One thing per process, made on first use: what must not be shared across a fork."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from typing import Generic, TypeVar

T = TypeVar("T")


class _Own(Generic[T]):
    """What one process has of its own; empty at first."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.made: list[T] = []


class PerProcess(Generic[T]):
    """Makes and keeps a network client, or the like, for each process that asks.

    Connections must not be shared across a fork, nor must the lock: another thread of the parent
    may hold it at that moment. So both are kept under the process id.

    Args:
        make: Makes one; called once per process.
        close: Gives one back.
    """

    def __init__(self, make: Callable[[], T], close: Callable[[T], None]) -> None:
        self._make = make
        self._close = close
        self._processes: dict[int, _Own[T]] = {}

    def get(self) -> T:
        """This process's own."""
        own = self._own()
        with own.lock:
            if not own.made:
                own.made.append(self._make())
            return own.made[0]

    def close(self) -> None:
        """Give this process's own back; the next call makes another."""
        own = self._own()
        with own.lock:
            while own.made:
                self._close(own.made.pop())

    def _own(self) -> _Own[T]:
        pid = os.getpid()
        return self._processes.get(pid) or self._processes.setdefault(pid, _Own())
