"""Circuit breakers whose state lives in Redis, shared by all processes of all workers.

They save time and work; nothing rests on them. Without Redis every store is asked.
"""

from __future__ import annotations

import json
import logging
import secrets
import socket
import time
from collections.abc import Mapping
from dataclasses import dataclass

import redis

from uploadmill.backends.ledger.scripts import Scripts, serving
from uploadmill.backends.storage.breaker import Admission, Circuit
from uploadmill.errors import LedgerUnavailable, StorageUnavailable
from uploadmill.settings import BreakerSettings
from uploadmill.wire import LEDGER_PREFIX

log = logging.getLogger("uploadmill.storage")

#: A hash: each store's circuit, as JSON.
CIRCUITS = LEDGER_PREFIX + "circuits"

#: Seconds that a call of a store may wait for Redis to tell whether to make it.
TIMEOUT = 0.05

#: Seconds for which a Redis that did not answer is not asked again. One call in so long loses
#: ``TIMEOUT``, the others nothing: half a percent.
UNANSWERED = 10.0

#: Seconds for which a host that alone was refused may leave its probe undone; then it is gone, and
#: its refusal forgotten: containers have another name after each start.
GONE = 600.0

#: Seconds for which a closed circuit is taken to be closed without asking.
FRESH = 1.0


class SharedBreakers:
    """The breakers of one process; each store's state is that of all processes.

    Args:
        redis_url: The ledger's.
        settings: When circuits open, and for how long; alike in all processes.
        scripts: Instead of connections of their own; for tests.
        host: Whose processes have the same credentials, and meet the same refusals.
    """

    def __init__(
        self,
        redis_url: str,
        settings: BreakerSettings,
        scripts: Scripts | None = None,
        host: str | None = None,
    ) -> None:
        self._scripts = scripts or Scripts(redis_url, TIMEOUT)
        self._settings = settings
        self.host = host or socket.gethostname()
        self._silent_until = 0.0
        self._breakers: dict[str, SharedBreaker] = {}

    def __call__(self, store: str) -> SharedBreaker:
        """The breaker of the store of this name."""
        return self._breakers.setdefault(store, SharedBreaker(store, self))

    def close(self) -> None:
        """Give the connections back."""
        self._scripts.close()

    def ask(
        self, store: str, verb: str, probe: str = "", reason: str = "", *, refuses: bool = False
    ) -> tuple[Circuit, bool]:
        """Tell Redis what happened; how the circuit stands now, and whether this changed it."""
        if time.monotonic() < self._silent_until:
            return Circuit.CLOSED, False
        settings = self._settings
        try:
            circuit, changed = self._scripts.call(
                "breaker",
                (CIRCUITS,),
                (
                    store,
                    verb,
                    probe,
                    reason,
                    "1" if refuses else "",
                    self.host,
                    settings.failures,
                    _ms(settings.window),
                    _ms(settings.open),
                    _ms(settings.probe),
                    _ms(GONE),
                ),
            )
        except (LedgerUnavailable, redis.RedisError) as error:
            # Also where Redis has something else under our key: no upload may fail for that.
            self._silent_until = time.monotonic() + UNANSWERED
            log.warning("breaker_not_shared", extra={"store": store, "reason": str(error)})
            return Circuit.CLOSED, False
        return Circuit(circuit), bool(changed)


class SharedBreaker:
    """The breaker of one store; see :class:`~uploadmill.backends.storage.breaker.Breaker`.

    Args:
        store: Its name.
        shared: What all breakers of this process ask Redis with.
    """

    def __init__(self, store: str, shared: SharedBreakers) -> None:
        self._store = store
        self._shared = shared
        self._closed_until = 0.0
        #: Whether this process has told of a failure since it last told of a success.
        self._has_failed = False

    def enter(self) -> Admission:
        """Ask before a call; asks Redis once a second while all is well."""
        if time.monotonic() < self._closed_until:
            return Admission(allowed=True)
        probe = secrets.token_hex(8)
        circuit, _ = self._shared.ask(self._store, "enter", probe)
        self._note(circuit)
        if circuit is Circuit.HALF_OPEN:
            log.info("store_probed", extra={"store": self._store})
            return Admission(allowed=True, probe=probe)
        return Admission(allowed=circuit is Circuit.CLOSED)

    def succeeded(self, admission: Admission) -> None:
        """The store answered: a probe closes the circuit, others forget the failures before."""
        if not (admission.probe or self._has_failed):
            return
        self._has_failed = False
        circuit, changed = self._shared.ask(self._store, "succeeded", admission.probe)
        self._note(circuit)
        if changed:
            log.warning("circuit_closed", extra={"store": self._store})

    def failed(self, admission: Admission, error: StorageUnavailable) -> None:
        """The store did not answer, or refuses us."""
        self._has_failed = True
        circuit, changed = self._shared.ask(
            self._store, "failed", admission.probe, error.reason, refuses=not error.retry_here
        )
        self._note(circuit)
        if changed:
            extra = {"store": self._store, "host": self._shared.host, "reason": error.reason}
            log.error("circuit_opened", extra=extra)

    def unsure(self, admission: Admission) -> None:
        """Nobody learned of the store: a probe is the next caller's."""
        if admission.probe:
            circuit, _ = self._shared.ask(self._store, "unsure", admission.probe)
            self._note(circuit)

    def _note(self, circuit: Circuit) -> None:
        fresh = time.monotonic() + FRESH if circuit is Circuit.CLOSED else 0.0
        self._closed_until = fresh


@dataclass(frozen=True, slots=True)
class CircuitState:
    """How it stands with one store.

    Attributes:
        circuit: Half-open when it is time for a probe, or one is under way.
        since: Seconds since it was closed, or opened.
        reason: Of the last failure while it opened; empty where it never did.
        openings: How often it has opened since Redis was last empty.
        failures: In the present window.
        only: The one host for which it is open, because the store refuses that; empty: for all.
    """

    circuit: Circuit
    since: float
    reason: str
    openings: int
    failures: int
    only: str

    @property
    def whose(self) -> str:
        """For whom it is not closed, in words; nothing where that is everybody."""
        return f" on {self.only} alone" if self.only else ""


def circuits(scripts: Scripts) -> Mapping[str, CircuitState]:
    """Every circuit that has known a failure, by its store's name.

    Raises:
        LedgerUnavailable: Redis does not serve us.
    """
    with serving():
        seconds, microseconds = scripts.redis.time()
        kept = scripts.redis.hgetall(CIRCUITS)
    now = seconds * 1000 + microseconds // 1000
    return {str(store): _state(json.loads(raw), now) for store, raw in sorted(kept.items())}


def _state(kept: Mapping[str, object], now: int) -> CircuitState:
    """As ``breaker.lua`` will see it at its next call."""
    due, only = float(str(kept.get("retry_at", 0))), str(kept.get("only", ""))
    gone = bool(only) and now - due > _ms(GONE)
    since = due + _ms(GONE) if gone else float(str(kept["since"]))
    return CircuitState(
        circuit=Circuit.CLOSED if gone or kept["closed"] else _open(due, now),
        since=max(0.0, (now - since) / 1000),
        reason=str(kept["reason"]),
        openings=int(str(kept["openings"])),
        failures=int(str(kept["failures"])),
        only="" if gone else only,
    )


def _open(due: float, now: int) -> Circuit:
    return Circuit.OPEN if now < due else Circuit.HALF_OPEN


def _ms(seconds: float) -> int:
    return round(seconds * 1000)
