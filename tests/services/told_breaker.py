"""Breakers that do what a test tells them, and note what they hear."""

# ruff: noqa: ARG002 (a breaker is told more than these use)

from __future__ import annotations

from collections.abc import Sequence

from uploadmill.backends.storage.breaker import Admission
from uploadmill.errors import StorageUnavailable


class ToldBreaker:
    def __init__(self, *, is_open: bool, opens_after: int | None) -> None:
        self.is_open = is_open
        self.opens_after = opens_after
        self.heard: list[str] = []

    def enter(self) -> Admission:
        return Admission(allowed=not self.is_open)

    def succeeded(self, admission: Admission) -> None:
        self.heard.append("ok")

    def failed(self, admission: Admission, error: StorageUnavailable) -> None:
        self.heard.append("failed")
        self.is_open = self.heard.count("failed") == self.opens_after

    def unsure(self, admission: Admission) -> None:
        self.heard.append("unsure")


class ToldBreakers:
    """One for each store; ``opened`` names those that let nobody through."""

    def __init__(self, opened: Sequence[str] = (), opens_after: int | None = None) -> None:
        self._opened = opened
        self._opens_after = opens_after
        self._breakers: dict[str, ToldBreaker] = {}

    def __call__(self, store: str) -> ToldBreaker:
        told = ToldBreaker(is_open=store in self._opened, opens_after=self._opens_after)
        return self._breakers.setdefault(store, told)
