"""Processes that stand still before every call to the world outside, until they are let go on.

Each is a thread, and only one thread of all runs at a time: whoever steps a process waits until
it stands before its next call. So the product's own code runs, and every order of its calls can
be tried; a call is what is atomic.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

from uploadmill.backends.storage.sources import CHUNK, opener
from uploadmill.errors import LedgerUnavailable, StorageUnavailable

#: What a process may find when its call comes back.
LOST = "reply lost"
LATE = "write lands late"
REFUSED = "not reached"

#: Calls of ledger and stores that reach the world outside; everything else is their own memory.
_INSIDE = ("url", "at", "close")


class Died(BaseException):
    """The process was killed; nothing of the product catches this."""


class Process:
    """One thread of control.

    Args:
        name: For people.
        main: What it does; given this process.
    """

    def __init__(self, name: str, main: Callable[[Any], Any]) -> None:
        self.name = name
        self.at = ""
        self.alive = True
        self.killed = False
        self.frozen = False
        self.answer: Any = None
        self.error: BaseException | None = None
        self.fault: str | None = None
        self._main = main
        self._go = threading.Semaphore(0)
        self._stands = threading.Semaphore(0)
        self._thread = threading.Thread(target=self._live, name=name, daemon=True)

    def begin(self) -> None:
        """Run up to the first call."""
        self._thread.start()
        self._stands.acquire()

    def step(self, fault: str | None = None) -> None:
        """Make the call it stands before, and run up to the next one."""
        self.fault = fault
        self._go.release()
        self._stands.acquire()

    def kill(self) -> None:
        """End it where it stands: the call before it is not made."""
        if self.alive:
            self.killed = True
            self.step()

    def die(self) -> None:
        """End itself, in the middle of a step."""
        self.killed = True
        raise Died

    def act(self, label: str, call: Callable[[], Any]) -> Any:
        """Stand before *call*, then make it."""
        if self.killed:
            raise Died
        self.at = label
        self._stands.release()
        self._go.acquire()
        if self.killed:
            raise Died
        return call()

    def _live(self) -> None:
        try:
            self.answer = self._main(self)
        except Died:
            pass
        except BaseException as error:  # noqa: BLE001 - whoever steps it looks at what it raised
            self.error = error
        self.alive = False
        self.at = "dead" if self.killed else "done"
        self._stands.release()

    def __repr__(self) -> str:
        return f"{self.name}@{self.at}"


class Seen:
    """The ledger or a store as one process sees it: every call is an action of that process.

    Args:
        inner: What is really called.
        role: Its name in :attr:`Process.at`.
        process: The caller.
        told: Hears of every answer, also of those that the process never gets.
        late: Takes a write that will land later.
    """

    def __init__(
        self,
        inner: Any,
        role: str,
        process: Process,
        told: Callable[[Process, Any], None],
        late: Callable[[Callable[[], Any]], None],
    ) -> None:
        self._inner = inner
        self._role = role
        self._process = process
        self._told = told
        self._late = late

    def __getattr__(self, name: str) -> Any:
        value = getattr(self._inner, name)
        if name.startswith("_") or name in _INSIDE or not callable(value):
            return value

        def call(*args: Any, **kwargs: Any) -> Any:
            about = args[0] if args and isinstance(args[0], str) else ""
            label = f"{self._role}.{name} {about}".rstrip()
            return self._process.act(label, lambda: self._call(name, value, args, kwargs))

        return call

    def _call(self, name: str, value: Callable[..., Any], args: Any, kwargs: Any) -> Any:
        fault = self._process.fault
        if fault == LATE and name == "put":
            with opener(args[1])() as stream:
                content = stream.read(CHUNK)
            self._late(lambda: value(args[0], content, *args[2:], **kwargs))
            raise self._unavailable()
        if fault == REFUSED:
            raise self._unavailable()
        answer = value(*args, **kwargs)
        self._told(self._process, answer)
        if fault == LOST:
            raise self._unavailable()
        return answer

    def _unavailable(self) -> Exception:
        if self._role == "ledger":
            return LedgerUnavailable("the reply was lost")
        return StorageUnavailable(self._role, "the reply was lost")
