"""The stores of a composite: asked one after another, or all of them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from typing import Generic, TypeVar

from uploadmill.backends.storage.attempts import Attempts, Patience, Timing
from uploadmill.backends.storage.base import Storage
from uploadmill.backends.storage.breaker import Breaker, admitted
from uploadmill.backends.storage.features import Feature
from uploadmill.errors import ObjectExists, ObjectNotFound, StorageUnavailable

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Member:
    """One of the stores, and its breaker."""

    store: Storage
    breaker: Breaker

    @property
    def name(self) -> str:
        """The store's own name."""
        return self.store.name

    def admitted(self) -> AbstractContextManager[None]:
        """Around one call of the store."""
        return admitted(self.breaker, self.name)

    def attempt(self, action: Callable[[Storage], T], timing: Timing) -> T:
        """Call the store a few times, within limits of time.

        Raises:
            StorageUnavailable: It was given up, or is not to be asked.
        """
        return Attempts(self.name, self.breaker, timing).call(lambda: action(self.store))


class Writing(Generic[T]):
    """A write that may be repeated, at several stores.

    Where it is create-only, what is in its way may be what an earlier attempt of its own has
    put: its reply was lost.

    Args:
        action: The write.
    """

    def __init__(self, action: Callable[[Storage], T]) -> None:
        self._action = action
        self._unclear: set[str] = set()

    def __call__(self, store: Storage) -> T:
        """Attempt it.

        Raises:
            Doubtful: The key is taken, maybe by an earlier attempt.
        """
        try:
            return self._action(store)
        except StorageUnavailable:
            self._unclear.add(store.name)
            raise
        except ObjectExists as error:
            if store.name in self._unclear:
                raise Doubtful(store.name) from error
            raise

    @contextmanager
    def judged(self) -> Iterator[None]:
        """Around all its attempts.

        Raises:
            StorageUnavailable: Nobody can tell whose object it is that is there.
        """
        try:
            yield
        except Doubtful as doubtful:
            reason = "a reply was lost, and the object that is there may be our own"
            raise StorageUnavailable(doubtful.store, reason) from doubtful.__cause__


class Doubtful(Exception):
    """Raised inside a write when an object is there that may be its own; no other store is asked.

    Attributes:
        store: Where it is.
    """

    def __init__(self, store: str) -> None:
        super().__init__(store)
        self.store = store


def search(members: Sequence[Member], ask: Callable[[Member], T], patience: Patience) -> T:
    """What the first store that has the object says; those that gave no answer are asked again.

    Args:
        members: In the order in which to ask them.
        ask: Of one store; raises ``ObjectNotFound`` where it has no such object.
        patience: For all of them together.

    Raises:
        ObjectNotFound: All have answered, and none has it.
        StorageUnavailable: One that may have it gives no answer.
    """
    waiting: Iterable[Member] = members
    missing: ObjectNotFound | None = None
    refused: list[StorageUnavailable] = []
    while True:
        again: dict[str, Member] = {}
        for member in waiting:
            try:
                with patience.losing(), member.admitted():
                    return ask(member)
            except ObjectNotFound as error:
                missing = error
            except StorageUnavailable as error:
                if error.retry_here:
                    again[member.name] = member
                refused.append(error)
        if missing and not refused:
            raise missing
        if not again or not patience.goes_on():
            raise refused[0]
        waiting = again.values()
        refused = [error for error in refused if not error.retry_here]


def everywhere(
    members: Iterable[Member], action: Callable[[Storage], None], timing: Timing
) -> None:
    """Do something in all stores, also where one of them fails.

    Raises:
        StorageUnavailable: Of the first that gave no answer; the others have done it.
    """
    failed: StorageUnavailable | None = None
    for member in members:
        try:
            member.attempt(action, timing)
        except StorageUnavailable as error:
            failed = failed or error
    if failed:
        raise failed


def lacking(members: Iterable[Member]) -> dict[Feature, str]:
    """What a composite has not got: what one of its stores has not."""
    lacks = {
        feature: f"its store {member.name!r} has not: {reason}"
        for member in members
        for feature, reason in member.store.lacks.items()
    }
    return lacks | {Feature.VERSIONS: "each of its stores keeps versions of its own"}
