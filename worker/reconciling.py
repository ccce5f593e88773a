"""When to reconcile: at start, now and then, and when Redis may have forgotten something.

Whoever has reconciled notes in Redis when it began and which Redis that was. The note tells
everything: it is old, it is of another Redis (restarted, or another one has taken over), or it
is gone (Redis came back empty, or somebody began and did not come to the end). One process does
it at a time, by a lock that only saves work.
"""

from __future__ import annotations

import logging
import random
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

import redis

from uploadmill.backends.ledger.ledger import Ledger
from uploadmill.wire import LEDGER_PREFIX

log = logging.getLogger("uploadmill.reconcile")

RECONCILED = LEDGER_PREFIX + "reconciled"
LOCK = LEDGER_PREFIX + "lock:reconcile"

#: Seconds after which the lock of a process that died is free. A living one renews it three times
#: in that time; one that stands still for longer costs no more than doing the work twice.
LOCK_TTL = 10.0

#: Seconds between two looks at the note, and at least between two attempts of one worker.
LOOK = 5.0

#: A worker that starts needs no reconciliation if one began so few seconds ago.
AT_START = 5.0


class Turns:
    """Whose turn it is to reconcile one Redis.

    Args:
        client: The ledger's Redis.
    """

    def __init__(self, client: redis.Redis) -> None:
        self._redis = client

    def due(self, within: float) -> bool:
        """Whether nobody has begun to reconcile this very Redis in the last *within* seconds.

        Raises:
            redis.RedisError: Redis does not answer.
        """
        identity, _, began = (_text(self._redis.get(RECONCILED)) or "").rpartition(" ")
        if identity != self._identity():
            return True
        return self._now() - float(began) >= within

    @property
    def taken(self) -> bool:
        """Whether somebody is at it."""
        return bool(self._redis.exists(LOCK))

    @contextmanager
    def take(self, within: float) -> Iterator[bool]:
        """Hold the turn while the block lasts; False where it is somebody else's, or not due.

        The note is taken away meanwhile, and written when the block ends without an error: where
        it does not, somebody else begins as soon as the lock is free.
        """
        lock = self._redis.lock(LOCK, timeout=LOCK_TTL, blocking=False, thread_local=False)
        if not lock.acquire():
            yield False
            return
        over = threading.Event()
        renewing = threading.Thread(target=_renew, args=(lock, over), daemon=True)
        renewing.start()
        try:
            if not self.due(within):
                yield False
                return
            note = f"{self._identity()} {self._now()}"
            self._redis.delete(RECONCILED)
            yield True
            self._redis.set(RECONCILED, note)
        finally:
            over.set()
            renewing.join()
            with suppress(redis.RedisError):
                lock.release()

    def _identity(self) -> str:
        """Which Redis this is: another one after every restart and every failover."""
        server, replication = self._redis.info("server"), self._redis.info("replication")
        return f"{server.get('run_id')}:{replication.get('master_replid')}"

    def _now(self) -> float:
        seconds, microseconds = self._redis.time()
        return float(seconds) + float(microseconds) / 1e6


def _renew(lock: redis.lock.Lock, over: threading.Event) -> None:
    while not over.wait(LOCK_TTL / 3):
        with suppress(redis.RedisError):
            lock.reacquire()


def _text(value: object) -> str:
    return value.decode() if isinstance(value, bytes) else str(value or "")


class Reconciling(threading.Thread):
    """Starts ``uploadmill recover`` at once, and whenever it is due.

    In a process of its own, because storage clients and a long walk through the envelopes have
    no place in the main process.

    Args:
        ledger: On connections of its own.
        start: Starts a reconciliation unless one began in the last so many seconds.
    """

    def __init__(
        self, ledger: Ledger, start: Callable[[float], subprocess.Popen[bytes]] | None = None
    ) -> None:
        super().__init__(name="reconcile", daemon=True)
        self._ledger = ledger
        self._turns = Turns(ledger.redis)
        self._start = start or recover
        self._every = ledger.constants.reconcile
        self._stopped = threading.Event()
        self._process = self._start(AT_START)

    def run(self) -> None:
        """Look now and then until stopped."""
        while not self._stopped.wait(min(LOOK, self._every / 3) * random.uniform(0.8, 1.2)):  # noqa: S311
            try:
                self.look()
            except Exception:
                # Without this thread a lost tail of Redis waits for the next start.
                log.exception("look_failed")

    def look(self) -> None:
        """Start a reconciliation if one is due and nobody is at it; Redis may be out."""
        if self._process.poll() is None:
            return
        try:
            if self._turns.due(self._every) and not self._turns.taken:
                self._process = self._start(self._every)
        except redis.RedisError as error:
            log.debug("not_looked", extra={"reason": type(error).__name__})

    def stop(self) -> None:
        """End the thread, and the process it may have started: the next start begins again."""
        self._stopped.set()
        self.join(timeout=2)
        if self._process.poll() is None:
            self._process.terminate()
        self._process.wait()
        self._ledger.close()


def recover(within: float) -> subprocess.Popen[bytes]:
    """Run ``uploadmill recover`` unless one began in the last *within* seconds."""
    command = [sys.executable, "-m", "uploadmill.worker.cli", "recover"]
    return subprocess.Popen([*command, "--unless-within", f"{within:g}"], stdin=subprocess.DEVNULL)
