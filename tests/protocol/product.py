"""The product's parts as a world uses them, and its modules on the world's clock."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest
from protocol.workers import Run
from services.timed_ledger import TimedLedger

from uploadmill.backends.ledger import gc, healing, proposals, settle
from uploadmill.backends.ledger import ledger as ledger_module
from uploadmill.backends.ledger import reconcile as reconcile_module
from uploadmill.backends.ledger.heal import Healer
from uploadmill.backends.ledger.reconcile import reconcile
from uploadmill.backends.ledger.settle import Settler
from uploadmill.backends.storage import memory, placing
from uploadmill.producer import acceptance, replaying, staging
from uploadmill.producer.acceptance import Job
from uploadmill.producer.clients import Clients
from uploadmill.settings import LedgerSettings
from uploadmill.worker import clearing, loop, patience

if TYPE_CHECKING:
    from protocol.world import World


@dataclass(frozen=True)
class Product:
    """The product's parts; a test of a rule replaces the one that keeps it."""

    ledger: type[TimedLedger] = TimedLedger
    settler: type[Settler] = Settler
    run: type[Run] = Run
    accept: Callable[[Clients, staging.Staged], Job] = acceptance.accept
    upload_key: Callable[[str, str], str] = staging.upload_key
    fresh: Callable[..., bool] = acceptance._fresh
    reconcile: Callable[[Settler], Any] = reconcile
    healer: type[Healer] = Healer
    unneeded: Callable[..., Any] = gc._unneeded
    constants: Any = LedgerSettings


class _Clock(datetime):
    """``datetime`` for modules of the product, telling the world's time."""

    world: World

    @classmethod
    def now(cls, _: Any = None) -> datetime:  # type: ignore[override]
        return cls.world.now()


def put_in_place(patch: pytest.MonkeyPatch, product: Product, world: World) -> None:
    """Let the product's modules use these parts, this world's clock, and no chance."""
    clock = type("Clock", (_Clock,), {"world": world})
    for module in (memory, proposals, patience, staging, replaying):
        patch.setattr(module, "datetime", clock)
    for module in (settle, patience):
        patch.setattr(module, "boot_time", world.time)
    for module in (staging, replaying):
        patch.setattr(module, "now", world.time)
    patch.setattr(patience, "REPEAT", 0)
    # A process of the world is one thread of control.
    patch.setattr(reconcile_module, "AT_ONCE", 1)
    patch.setattr(clearing, "time", SimpleNamespace(time=world.time))
    chance = random.Random(1)  # noqa: S311 - the same in every run of the test
    for module in (ledger_module, patience):
        patch.setattr(module, "random", chance)
    for module in (loop, staging, replaying):
        patch.setattr(module, "new_nonce", lambda: f"{chance.getrandbits(64):016x}")
    timing = placing.Timing(clock=world.time, sleep=lambda _: None, chance=lambda: 0.5)
    patch.setitem(placing.place.__kwdefaults__, "timing", timing)
    patch.setattr(staging, "upload_key", product.upload_key)
    patch.setattr(acceptance, "_fresh", product.fresh)
    patch.setattr(gc, "_unneeded", product.unneeded)
    patch.setattr(healing, "Healer", product.healer)
