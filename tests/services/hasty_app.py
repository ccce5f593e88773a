"""The faulty application, with next to no pause after a crash.

The pause is random between nothing and seconds; here chance says "nothing" every time.
"""

from __future__ import annotations

from types import SimpleNamespace

from services.faulty_app import app
from uploadmill.backends.ledger import ledger

__all__ = ["app"]

ledger.random = SimpleNamespace(random=lambda: 0.01)
