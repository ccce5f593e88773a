"""Two stores as one: the second takes over while the first is out.

It promises what a single store promises but for what two stores cannot: docs/storage-several.md.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Sequence

from uploadmill.backends.storage.attempts import USUAL, Timing
from uploadmill.backends.storage.base import Storage
from uploadmill.backends.storage.breaker import Breakers, unwatched
from uploadmill.backends.storage.composite import Composite
from uploadmill.backends.storage.members import Member, Writing
from uploadmill.backends.storage.objects import ObjectStat
from uploadmill.backends.storage.transfer import bring_all
from uploadmill.errors import ObjectExists, ObjectNotFound, StorageUnavailable

log = logging.getLogger("uploadmill.storage")


class FailoverStorage(Composite):
    """Writes to the primary, or, when that is unavailable, to the secondary; reads from both.

    Args:
        primary: Where objects belong.
        secondary: Where they go while the primary is out; a store of its own.
        name: The configured name.
        breakers: By the stores' names; those of a worker are shared by all its processes
            (:class:`~uploadmill.backends.ledger.breaker.SharedBreakers`).
        on_secondary: Told of each key that went to, or was found on, the secondary: what is to
            be brought home.
        timing: For tests.
    """

    def __init__(
        self,
        primary: Storage,
        secondary: Storage,
        *,
        name: str = "failover",
        breakers: Breakers = unwatched,
        on_secondary: Callable[[str], None] | None = None,
        timing: Timing = USUAL,
    ) -> None:
        self._primary = Member(primary, breakers(primary.name))
        self._secondary = Member(secondary, breakers(secondary.name))
        self._on_secondary = on_secondary
        super().__init__((self._primary, self._secondary), name, timing)

    def ping(self) -> None:
        """See :meth:`Storage.ping`; one that answers is enough."""
        try:
            self._primary.store.ping()
        except StorageUnavailable:
            self._secondary.store.ping()

    def bring_home(self, prefix: str = "") -> Iterator[str]:
        """Move everything that lies on the secondary to the primary.

        Each object is copied, read back and compared, then deleted. Killed at any point, nothing
        is lost, and the next run goes on. Of two different objects under one key the one that
        was modified last stays, by the stores' own clocks.

        Args:
            prefix: Of the keys.

        Yields:
            Each key that is home now.

        Raises:
            StorageUnavailable: One of the stores gives no answer; the rest stays where it is.
            ObjectChanged: An object was overwritten just now; the next run takes it along.
            IntegrityError: A copy is not the original, which stays.
            Unsupported: The primary does not take an object as it is, such as a public one; it
                stays. This and the two above come at the end, when all others are home.
        """
        return bring_all(self._secondary.store, prefix, lambda _key: self._primary.store)

    def _ranked(self, key: str) -> Sequence[Member]:  # noqa: ARG002 (all keys alike)
        return self._members

    def _write(
        self, key: str, action: Callable[[Storage], ObjectStat], *, create_only: bool
    ) -> ObjectStat:
        if create_only:
            self._must_not_be_on_secondary(key)
        writing = Writing(action)
        with writing.judged():
            try:
                stat = self._primary.attempt(writing, self._timing)
            except StorageUnavailable as error:
                extra = {"store": self._primary.name, "key": key, "reason": error.reason}
                log.warning("failed_over", extra=extra)
            else:
                if not create_only:
                    self._forget(key, self._secondary)
                return stat
            # Now that the error has gone, and with it the request whose body it held.
            stat = self._secondary.attempt(writing, self._timing)
            self._tell(key)
            return stat

    def _must_not_be_on_secondary(self, key: str) -> None:
        """A key that was created there while the primary was out is taken.

        A secondary that gives no answer is not waited for: it is there to be out at times.
        """
        try:
            with self._secondary.admitted():
                self._secondary.store.stat(key)
        except ObjectNotFound:
            return
        except StorageUnavailable as error:
            extra = {"store": self._secondary.name, "key": key, "reason": error.reason}
            log.warning("created_without_a_look", extra=extra)
            return
        raise ObjectExists(self._secondary.name, key)

    def _found(self, key: str, member: Member) -> None:
        if member is self._secondary:
            log.info("found_on_secondary", extra={"store": member.name, "key": key})
            self._tell(key)

    def _tell(self, key: str) -> None:
        if self._on_secondary is not None:
            self._on_secondary(key)
