"""Several stores as one: objects are spread over them, each by its key.

Weighted rendezvous hashing: every store draws a number for a key, and the highest has it. A store
more takes its share from all others, and nothing moves between those.
"""

from __future__ import annotations

import hashlib
import logging
import math
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence

from uploadmill.backends.storage.attempts import USUAL, Timing
from uploadmill.backends.storage.base import Storage
from uploadmill.backends.storage.breaker import Breakers, unwatched
from uploadmill.backends.storage.composite import Composite
from uploadmill.backends.storage.members import Member, Writing
from uploadmill.backends.storage.objects import ObjectStat
from uploadmill.backends.storage.transfer import bring_all
from uploadmill.errors import InvalidSettings, ObjectExists, ObjectNotFound

log = logging.getLogger("uploadmill.storage")


def score(name: str, weight: float, key: str) -> float:
    """The number that a store draws for a key; the highest of all stores wins.

    With it a store wins in proportion to its weight (the logarithm method of weighted
    rendezvous hashing: C. Schindelhauer and G. Schomaker, 2005).

    Args:
        name: The store's; changing it moves its objects.
        weight: Above 0; only their ratio matters.
        key: The object's.
    """
    drawn = int.from_bytes(hashlib.sha256(f"{name}\0{key}".encode()).digest()[:8]) >> 12
    # 52 bits and a half: exact in a float, and never 0 or 1, which have no use for a logarithm.
    return -weight / math.log((drawn + 0.5) / 2**52)


class BalancedStorage(Composite):
    """Spreads objects over stores by weight; finds them also after the weights have changed.

    Args:
        stores: By name, with their weights. A store's name decides what it has: keep it.
        name: The configured name.
        draining: Names of stores that take no new objects, as those of weight 0.
        breakers: By the names that the stores themselves have.
        timing: For tests.

    Raises:
        InvalidSettings: No store takes new objects, or a weight is no number from 0 up.
    """

    def __init__(
        self,
        stores: Mapping[str, tuple[Storage, float]],
        *,
        name: str = "balanced",
        draining: Collection[str] = (),
        breakers: Breakers = unwatched,
        timing: Timing = USUAL,
    ) -> None:
        if isinstance(draining, str):
            raise InvalidSettings(f"storage {name!r}: draining is a list of names, such as ['old']")
        if unknown := sorted({*draining} - {*stores}):
            raise InvalidSettings(f"storage {name!r}: no store {unknown[0]!r} is there to drain")
        weights = {
            each: 0.0 if each in draining else weight for each, (_, weight) in stores.items()
        }
        if not any(weights.values()) or not all(map(_is_weight, weights.values())):
            raise InvalidSettings(
                f"storage {name!r}: weights are numbers from 0 up, at least one of them above 0 "
                f"and not draining; these are {weights}"
            )
        self._by_name = {
            each: Member(store, breakers(store.name)) for each, (store, _) in stores.items()
        }
        self._weights = weights
        # Those that drain first: what is deleted while it is moved must not come back.
        ordered = sorted(weights, key=lambda each: weights[each] > 0)
        super().__init__([self._by_name[each] for each in ordered], name, timing)

    def ping(self) -> None:
        """See :meth:`Storage.ping`; each of the stores has objects, so each must answer."""
        for member in self._members:
            member.store.ping()

    def home(self, key: str) -> str:
        """The name of the store that a new object of this key goes to."""
        return self._order(key)[0]

    def drain(self, name: str, prefix: str = "") -> Iterator[str]:
        """Move everything out of a store that takes no new objects.

        Each object is copied to its new home, read back and compared, then deleted. Killed at
        any point, nothing is lost, and the next run goes on; several may run at once. Of two
        different objects under one key the one that was modified last stays.

        Args:
            name: Of the store; every process that writes must know that it drains.
            prefix: Of the keys.

        Yields:
            Each key that has moved.

        Raises:
            ValueError: There is no such store, or it takes new objects.
            StorageUnavailable: A store gives no answer; the rest stays where it is.
            ObjectChanged: An object was overwritten just now; the next run takes it along.
            IntegrityError: A copy is not the original, which stays.
            Unsupported: Its new store does not take an object as it is, such as a public one; it
                stays. This and the two above come at the end, when all others have moved.
        """
        if name not in self._weights:
            there_are = ", ".join(self._weights)
            raise ValueError(f"there is no store {name!r} to drain; there are: {there_are}")
        if self._weights[name]:
            raise ValueError(f"store {name!r} takes new objects; name it in 'draining' first")
        emptied = self._by_name[name].store
        return bring_all(emptied, prefix, lambda key: self._by_name[self.home(key)].store)

    def _order(self, key: str) -> list[str]:
        """All stores, the one where *key* belongs first, those that drain last."""
        return sorted(
            self._weights,
            key=lambda each: score(each, self._weights[each], key) if self._weights[each] else 0.0,
            reverse=True,
        )

    def _ranked(self, key: str) -> Sequence[Member]:
        order = self._order(key)
        if not self._weights[order[-1]]:
            # What is being moved may have left the one store after the other was looked at.
            order.append(order[0])
        return [self._by_name[each] for each in order]

    def _write(
        self, key: str, action: Callable[[Storage], ObjectStat], *, create_only: bool
    ) -> ObjectStat:
        home, *others = [self._by_name[each] for each in self._order(key)]
        if create_only:
            for other in others:
                self._must_not_be_at(other, key)
        writing = Writing(action)
        with writing.judged():
            stat = home.attempt(writing, self._timing)
        if not create_only:
            for other in others:
                self._forget(key, other)
        return stat

    def _must_not_be_at(self, other: Member, key: str) -> None:
        """What lies elsewhere since other weights were in force has the key all the same.

        Raises:
            StorageUnavailable: Nobody can tell.
        """
        try:
            other.attempt(lambda store: store.stat(key), self._timing)
        except ObjectNotFound:
            return
        raise ObjectExists(other.name, key)


def _is_weight(weight: float) -> bool:
    return math.isfinite(weight) and weight >= 0
