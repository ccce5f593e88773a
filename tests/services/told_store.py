"""A store in memory that fails as a test tells it to, on time that only such failures take."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from contextlib import contextmanager
from typing import Any

from uploadmill.backends.storage.attempts import Timing
from uploadmill.backends.storage.memory import MemoryStorage
from uploadmill.backends.storage.sources import opener
from uploadmill.errors import StorageUnavailable


def down() -> StorageUnavailable:
    """It does not answer: try again."""
    return StorageUnavailable("told", "no answer")


def broken() -> StorageUnavailable:
    """It refuses everybody."""
    return StorageUnavailable("told", "access denied", retry_here=False)


class Clock:
    def __init__(self) -> None:
        self.now = 0.0
        self.slept: list[float] = []

    def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.now += seconds

    @property
    def timing(self) -> Timing:
        return Timing(clock=lambda: self.now, sleep=self.sleep, chance=lambda: 1.0)


class ToldStore(MemoryStorage):
    """``fails`` says how; ``calls`` counts; ``before`` is told of each call before it is made."""

    def __init__(self, name: str, clock: Clock, **options: Any) -> None:
        super().__init__(name, **options)
        self.clock = clock
        self.calls: Counter[str] = Counter()
        self.before: Callable[[str, str], None] = lambda _store, _call: None
        self.garbles = False
        self._failing: dict[str, Any] = {}

    def fails(
        self,
        error: Exception,
        *calls: str,
        times: int = 1 << 30,
        seconds: float = 0.0,
        lands: bool = False,
        reads_first: bool = False,
    ) -> None:
        """Let *calls*, or all, fail *times* times, each after *seconds*."""
        told = {"error": error, "seconds": seconds, "lands": lands, "reads_first": reads_first}
        self._failing = {
            each: {**told, "times": times} for each in calls or ("put", *self._plain, "list")
        }

    def recovers(self) -> None:
        self._failing = {}

    _plain = ("stat", "open", "delete", "copy", "access", "set_access", "ping")

    def put(self, key: str, source: Any, **options: Any) -> Any:
        told = self._told("put")
        if told is None:
            source = b"garbled" if self.garbles else source
            return super().put(
                key, source, **(options | {"sha256": None} if self.garbles else options)
            )
        if told["reads_first"]:
            with opener(source)() as stream:
                stream.read(1 << 20)
        if told["lands"]:
            super().put(key, source, **options)
        raise self._error(told)

    @contextmanager
    def open(self, key: str, **options: Any) -> Any:
        self._call("open")
        with super().open(key, **options) as reader:
            yield reader

    def stat(self, key: str) -> Any:
        self._call("stat")
        return super().stat(key)

    def delete(self, *keys: str, **options: Any) -> None:
        self._call("delete")
        super().delete(*keys, **options)

    def copy(self, *keys: str, **options: Any) -> Any:
        self._call("copy")
        return super().copy(*keys, **options)

    def list(self, *prefix: str, **options: Any) -> Any:
        self._call("list")
        return super().list(*prefix, **options)

    def access(self, key: str) -> Any:
        self._call("access")
        return super().access(key)

    def set_access(self, *what: Any) -> None:
        self._call("set_access")
        super().set_access(*what)

    def ping(self) -> None:
        self._call("ping")

    def _call(self, call: str) -> None:
        told = self._told(call)
        if told is not None:
            raise self._error(told)

    def _error(self, told: Any) -> Exception:
        error = told["error"]
        if isinstance(error, StorageUnavailable):
            return StorageUnavailable(self.name, error.reason, error.retry_here)
        return error

    def _told(self, call: str) -> Any:
        self.calls[call] += 1
        self.before(self.name, call)
        told = self._failing.get(call)
        if told is None or told["times"] == 0:
            return None
        told["times"] -= 1
        self.clock.now += told["seconds"]
        return told
