"""What the tests of all remote stores share: stores, every call once, and what an outage is."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from typing import TypeVar

import pytest

from uploadmill.backends.storage.base import Storage
from uploadmill.backends.storage.contract import CheckResult
from uploadmill.backends.storage.contract_ground import MadeUp
from uploadmill.errors import StorageUnavailable

S = TypeVar("S", bound=Storage)

#: The checks of what a store without versions does not have.
OF_VERSIONS = {
    "versions_are_kept_and_come_back",
    "versions_outlive_a_delete",
    "versions_of_nothing",
}


@contextlib.contextmanager
def closed_at_end(make: Callable[..., S]) -> Iterator[Callable[..., S]]:
    """*make*, whose stores are closed at the end."""
    with contextlib.ExitStack() as stack:

        def made(**options: object) -> S:
            storage = make(**options)
            stack.callback(storage.close)
            return storage

        yield made


def every_call(storage: Storage, large: int) -> dict[str, Callable[[], object]]:
    """Each method once, as something to be called; *large* bytes are more than one request has."""
    return {
        "put": lambda: storage.put("a", b"x"),
        "put create-only": lambda: storage.put("a", b"x", create_only=True),
        "put large": lambda: storage.put("a", MadeUp(large)),
        "open": lambda: storage.read("a", 10),
        "stat": lambda: storage.stat("a"),
        "delete": lambda: storage.delete("a"),
        "delete two": lambda: storage.delete("a", "b"),
        "delete a state": lambda: storage.delete("a", if_match="1"),
        "copy": lambda: storage.copy("a", "b"),
        "list": lambda: list(storage.list()),
        "list folders": lambda: list(storage.list(delimiter="/")),
        "ping": storage.ping,
    }


def all_unavailable(
    every: Mapping[str, Callable[[], object]],
    secrets: Iterable[str],
    *,
    retry_here: bool,
    calls: Collection[str] | None = None,
) -> None:
    """Insist that each call, or each of those named, raises, and tells no secret."""
    for name in every if calls is None else calls:
        with pytest.raises(StorageUnavailable) as caught:
            every[name]()
        assert retry_here is caught.value.retry_here, f"{name}: {caught.value}"
        assert [] == [secret for secret in secrets if secret in str(caught.value)]


def assert_contract(
    results: Iterable[CheckResult], *, faults: Collection[str], lacking: Collection[str]
) -> None:
    """Insist that a store keeps the contract, but for its server's known *faults*.

    Args:
        results: Of the contract's run.
        faults: Checks that this server is known to fail.
        lacking: Checks of all that the store says, in time, it has not got.
    """
    found = list(results)
    broken = {result.name: result.detail for result in found if not result.ok}
    assert {} == {name: why for name, why in broken.items() if name not in faults}
    assert set(lacking) == {result.name for result in found if not result.offered}
