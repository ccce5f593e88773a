"""Copy a job's objects from the secondary to the primary, as streams, each proved on its way."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager

from uploadmill.backends.ledger.heal_pace import Pace, PacedReader
from uploadmill.backends.ledger.whole import has
from uploadmill.backends.storage.base import Storage
from uploadmill.backends.storage.features import Access
from uploadmill.backends.storage.hashing import VerifiedReader
from uploadmill.backends.storage.sources import Readable
from uploadmill.backends.storage.transfer import access_of
from uploadmill.errors import IntegrityError, ObjectExists, ObjectNotFound
from uploadmill.job import OutputFile

log = logging.getLogger("uploadmill.heal")


class Copier:
    """Copies to *target* what it has not got; may be killed and repeated anywhere.

    Attributes:
        bytes: How many were copied.

    Args:
        target: The primary.
        source: The secondary.
        pace: Of the bytes.
    """

    def __init__(self, target: Storage, source: Storage, pace: Pace) -> None:
        self.bytes = 0
        self._target = target
        self._source = source
        self._pace = pace

    def copy(self, made: OutputFile) -> None:
        """Copy one output, unless its very bytes are there."""
        if self._is_home(made):
            return
        stat = self._source.stat(made.key)
        try:
            self._target.put(
                made.key,
                lambda: self._reading(made.key, made.sha256),
                content_type=stat.content_type or made.content_type,
                metadata=stat.metadata,
                cache_control=stat.cache_control,
                content_disposition=stat.content_disposition,
                access=self._access(made.key),
                create_only=True,
                sha256=made.sha256,
            )
        except ObjectExists:
            if not self._is_home(made):
                raise
        else:
            self.bytes += made.size

    def _access(self, key: str) -> Access | None:
        """That everybody may read it, where the web app has said so; else as the bucket has it."""
        public = access_of(self._source, key, self._target) is Access.PUBLIC_READ
        return Access.PUBLIC_READ if public else None

    def _is_home(self, made: OutputFile) -> bool:
        """Whether the primary has this output.

        Raises:
            IntegrityError: It has something else under its key.
        """
        try:
            same = has(self._target, made)
        except ObjectNotFound:
            return False
        if not same:
            raise IntegrityError(self._target.name, made.key, "other bytes lie under this key")
        return True

    def copy_result(self, key: str) -> None:
        """Copy a job's ``result.json``, unless there is one."""
        if self._target.exists(key):
            return
        try:
            self._target.put(
                key,
                lambda: self._reading(key),
                content_type="application/json",
                create_only=True,
            )
        except ObjectExists:
            log.debug("somebody_else_heals", extra={"key": key})

    @contextmanager
    def _reading(self, key: str, sha256: str | None = None) -> Iterator[Readable]:
        """An object that is found out, and its store named, if it has rotted there."""
        with self._source.open(key) as reader:
            # What was restored by hand has no sha256 of its own, and a result's is not recorded.
            known = sha256 or reader.stat.sha256
            yield self.paced(VerifiedReader(self._source.name, reader, known))

    def paced(self, stream: Readable) -> Readable:
        """The same stream, no faster than healing may be."""
        return PacedReader(stream, self._pace)
