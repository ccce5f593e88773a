"""What every store, single or composite, can do because it can do the rest, or says it lacks."""

from __future__ import annotations

import os
import secrets
from abc import ABC
from collections.abc import Iterable
from dataclasses import replace
from itertools import islice
from pathlib import Path

from uploadmill.backends.storage.arguments import Part
from uploadmill.backends.storage.base import Storage
from uploadmill.backends.storage.content_types import DEFAULT_TYPE
from uploadmill.backends.storage.facts import Facts, facts_of
from uploadmill.backends.storage.features import Feature
from uploadmill.backends.storage.keys import shown
from uploadmill.backends.storage.objects import ObjectStat
from uploadmill.backends.storage.sources import CHUNK
from uploadmill.backends.storage.terms import at_least
from uploadmill.errors import (
    IntegrityError,
    ObjectExists,
    ObjectNotFound,
    SizeLimitExceeded,
    Unsupported,
)

#: Keys handed to one ``delete``: what S3 takes in a request.
_BATCH = 1000


class Derived(Storage, ABC):
    """The methods that are made of others."""

    def exists(self, key: str) -> bool:
        """See :meth:`Storage.exists`."""
        try:
            self.stat(key)
        except ObjectNotFound:
            return False
        return True

    def read(
        self,
        key: str,
        limit: int,
        *,
        start: int = 0,
        length: int | None = None,
        verify: bool = False,
    ) -> bytes:
        """See :meth:`Storage.read`."""
        at_least("limit", 0, limit)
        with self.open(key, start=start, length=length, verify=verify) as reader:
            size = Part(start, length).length_of(reader.stat.size)
            if size > limit:
                raise SizeLimitExceeded(limit, size, f"storage {self.name!r}, key {shown(key)!r}")
            return b"".join(iter(lambda: reader.read(CHUNK), b""))

    def download(
        self,
        key: str,
        target: Path | str,
        *,
        start: int = 0,
        length: int | None = None,
        verify: bool = False,
    ) -> ObjectStat:
        """See :meth:`Storage.download`."""
        target = Path(target)
        # Not made of the target's name, which may have all the bytes that a name may have.
        beside = target.with_name(f".uploadmill-{secrets.token_hex(8)}")
        try:
            part = self.open(key, start=start, length=length, verify=verify)
            with part as reader, beside.open("xb") as file:
                while chunk := reader.read(CHUNK):
                    file.write(chunk)
                file.flush()
                os.fsync(file.fileno())
            beside.replace(target)
        except BaseException:
            beside.unlink(missing_ok=True)
            raise
        return reader.stat

    def delete_many(self, keys: Iterable[str]) -> int:
        """See :meth:`Storage.delete_many`."""
        if isinstance(keys, str | bytes):
            raise TypeError("delete_many takes keys, one after another; for one: delete(key)")
        left, count = iter(keys), 0
        while batch := list(islice(left, _BATCH)):
            self.delete(*batch)
            count += len(batch)
        return count

    def move(self, source: str, target: str, *, create_only: bool = False) -> ObjectStat:
        """See :meth:`Storage.move`."""
        before = self.stat(source)
        if source == target:
            if create_only:
                raise ObjectExists(self.name, target)
            return before
        copied = self.copy(source, target, create_only=create_only)
        if (copied.size, facts_of(copied)) != (before.size, _expected(before, copied)):
            raise IntegrityError(self.name, target, "the copy has another size or other facts")
        self.delete(source, if_match=before.etag)
        return copied

    def _must_have(self, feature: Feature, key: str) -> None:
        if feature in self.lacks:
            raise self._unsupported(feature, key)

    def _unsupported(self, feature: Feature, key: str) -> Unsupported:
        return Unsupported(self.name, key, self.lacks[feature])


def _expected(before: ObjectStat, copied: ObjectStat) -> Facts:
    """What a copy has to have."""
    facts = facts_of(before)
    if before.sha256 is None and before.content_type in (None, DEFAULT_TYPE):
        # Others put it and said no type: some servers then give each key its extension's.
        return replace(facts, content_type=facts_of(copied).content_type)
    return facts
