"""What the last canary found in each store, remembered in Redis for all who ask."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass

from uploadmill.backends.ledger.scripts import Scripts, serving
from uploadmill.wire import LEDGER_PREFIX

#: A hash: of each store how its last canary went, as JSON.
CANARIES = LEDGER_PREFIX + "canaries"


@dataclass(frozen=True, slots=True)
class CanaryState:
    """How the last canary in a store went.

    Attributes:
        ok: It was put, read back as it was, and deleted.
        ago: Seconds since.
        ms: Milliseconds that it took.
        reason: What went wrong; empty where nothing did.
    """

    ok: bool
    ago: float
    ms: float
    reason: str


def note(scripts: Scripts, store: str, ms: float, reason: str = "") -> None:
    """Remember how the canary in *store* went; no *reason* is a good one.

    Raises:
        LedgerUnavailable: Redis does not serve us.
    """
    with serving():
        at = _now(scripts)
        kept = json.dumps({"at": at, "ms": round(ms, 1), "reason": reason})
        scripts.redis.hset(CANARIES, store, kept)


def canaries(scripts: Scripts) -> Mapping[str, CanaryState]:
    """How the last canary went, by its store's name.

    Raises:
        LedgerUnavailable: Redis does not serve us.
    """
    with serving():
        now, kept = _now(scripts), scripts.redis.hgetall(CANARIES)
    return {str(store): _state(json.loads(raw), now) for store, raw in sorted(kept.items())}


def _state(kept: Mapping[str, object], now: float) -> CanaryState:
    reason = str(kept["reason"])
    ago = max(0.0, now - float(str(kept["at"])))
    return CanaryState(not reason, round(ago, 3), float(str(kept["ms"])), reason)


def _now(scripts: Scripts) -> float:
    seconds, microseconds = scripts.redis.time()
    return float(seconds) + float(microseconds) / 1e6
