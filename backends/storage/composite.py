"""What storages that are made of several storages have in common."""

from __future__ import annotations

import logging
from abc import abstractmethod
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import replace
from typing import Any, Literal

from uploadmill.backends.storage.arguments import ask, only
from uploadmill.backends.storage.attempts import Patience, Timing
from uploadmill.backends.storage.base import Storage
from uploadmill.backends.storage.derived import Derived
from uploadmill.backends.storage.features import Access, Feature, PresignedUpload
from uploadmill.backends.storage.keys import check_key, check_keys
from uploadmill.backends.storage.listing import PagedListing
from uploadmill.backends.storage.members import Member, T, everywhere, lacking, search
from uploadmill.backends.storage.merging import merged_pages
from uploadmill.backends.storage.objects import ObjectStat
from uploadmill.backends.storage.reader import Reader
from uploadmill.backends.storage.sources import Source, opener
from uploadmill.backends.storage.terms import check_put, disposition, level
from uploadmill.backends.storage.transfer import transfer
from uploadmill.errors import ObjectChanged, ObjectExists, ObjectNotFound, StorageUnavailable

log = logging.getLogger("uploadmill.storage")


class Composite(Derived):
    """A storage whose objects lie in other storages.

    Args:
        members: All of its stores.
        name: Its own name.
        timing: Of attempts.
    """

    def __init__(self, members: Sequence[Member], name: str, timing: Timing) -> None:
        if len({member.name for member in members}) < len(members):
            raise ValueError("give each of the stores a name of its own")
        self.name = name
        self.lacks = lacking(members)
        self._members = members
        self._timing = timing

    @abstractmethod
    def _ranked(self, key: str) -> Sequence[Member]:
        """The stores that may have *key*, in the order in which to look."""

    @abstractmethod
    def _write(
        self, key: str, action: Callable[[Storage], ObjectStat], *, create_only: bool
    ) -> ObjectStat:
        """Let *action* write *key* in the store where it belongs."""

    def _found(self, key: str, member: Member) -> None:
        """Told where an object was found."""

    def put(
        self,
        key: str,
        source: Source,
        *,
        access: Access | None = None,
        create_only: bool = False,
        **facts: Any,
    ) -> ObjectStat:
        """See :meth:`Storage.put`."""
        check_key(self.name, key)
        check_put(self.name, key, **facts)
        # A file object is to be read from the same position at each attempt.
        again = opener(source)
        if access is not None:
            access = level(access)
            self._must_have(Feature.ACCESS_LEVELS, key)

        def put(store: Storage) -> ObjectStat:
            return store.put(key, again, access=access, create_only=create_only, **facts)

        return _bare(self._write(key, put, create_only=create_only))

    @contextmanager
    def open(self, key: str, *, version: str | None = None, **part: Any) -> Iterator[Reader]:
        """See :meth:`Storage.open`."""
        check_key(self.name, key)
        if version is not None:
            raise self._unsupported(Feature.VERSIONS, key)
        with ExitStack() as stack:
            yield self._search(key, lambda store: stack.enter_context(store.open(key, **part)))

    def stat(self, key: str) -> ObjectStat:
        """See :meth:`Storage.stat`."""
        check_key(self.name, key)
        return _bare(self._search(key, lambda store: store.stat(key)))

    def delete(self, *keys: str, if_match: str | None = None) -> None:
        """See :meth:`Storage.delete`; in all stores, also where one of them fails."""
        check_keys(self.name, keys)
        if if_match is not None:
            self._delete_state(only(keys), if_match)
        elif keys:
            everywhere(self._members, lambda store: store.delete(*keys), self._timing)

    def copy(self, source: str, target: str, *, create_only: bool = False) -> ObjectStat:
        """See :meth:`Storage.copy`; as a stream where the two lie in different stores."""
        check_key(self.name, target)
        if source == target:
            found = self.stat(source)
            if create_only:
                raise ObjectExists(self.name, target)
            return found
        check_key(self.name, source)
        holder, found = self._holder(source)

        def copy(store: Storage) -> ObjectStat:
            if store is holder:
                return store.copy(source, target, create_only=create_only)
            return transfer(holder, found, store, target, create_only=create_only)

        return _bare(self._write(target, copy, create_only=create_only))

    def list(
        self,
        prefix: str = "",
        *,
        delimiter: Literal["/"] | None = None,
        limit: int | None = None,
        token: str | None = None,
    ) -> Any:
        """See :meth:`Storage.list`; nothing is listed while one of the stores is out."""
        stores = [member.store for member in self._members]
        asked = ask(self.name, prefix, delimiter, limit, token)
        return PagedListing(merged_pages(stores, asked))

    def versions(self, key: str) -> Iterator[ObjectStat]:
        """See :meth:`Storage.versions`: the stores have them, the composite has not."""
        check_key(self.name, key)
        raise self._unsupported(Feature.VERSIONS, key)

    def restore(self, key: str, version: str) -> ObjectStat:  # noqa: ARG002 (no version is known)
        """See :meth:`Storage.restore`: the stores have them, the composite has not."""
        check_key(self.name, key)
        raise self._unsupported(Feature.VERSIONS, key)

    def url(self, key: str, *, expires: float | None = None, filename: str | None = None) -> Any:
        """See :meth:`Storage.url`; of the store that has the object, which is asked for that."""
        check_key(self.name, key)
        disposition(expires, filename)
        if expires is not None:
            self._must_have(Feature.SIGNED_URLS, key)
        try:
            store, _ = self._holder(key, pauses=())
        except (ObjectNotFound, StorageUnavailable):
            store = self._ranked(key)[0].store
        if expires is None:
            return store.url(key)
        return store.url(key, expires=expires, filename=filename)

    def presign_upload(self, key: str, **terms: Any) -> PresignedUpload:
        """See :meth:`Storage.presign_upload`; for the store that is asked first."""
        check_key(self.name, key)
        self._must_have(Feature.PRESIGNED_UPLOADS, key)
        return self._ranked(key)[0].store.presign_upload(key, **terms)

    def access(self, key: str) -> Access:
        """See :meth:`Storage.access`."""
        check_key(self.name, key)
        self._must_have(Feature.ACCESS_LEVELS, key)
        return self._search(key, lambda store: store.access(key))

    def set_access(self, key: str, access: Access) -> None:
        """See :meth:`Storage.set_access`; in each store that has the object."""
        check_key(self.name, key)
        access = level(access)
        self._must_have(Feature.ACCESS_LEVELS, key)
        changed = []

        def change(store: Storage) -> None:
            try:
                store.set_access(key, access)
            except ObjectNotFound:
                return
            changed.append(store)

        everywhere(self._members, change, self._timing)
        if not changed:
            raise ObjectNotFound(self.name, key)

    def close(self) -> None:
        """See :meth:`Storage.close`; of all stores, also where one of them fails."""
        with ExitStack() as stack:
            for member in self._members:
                stack.callback(member.store.close)

    def _delete_state(self, key: str, etag: str) -> None:
        """Remove what is found under a key, if it has this etag, and what it covers elsewhere."""
        states: dict[str, str] = {}

        def look(store: Storage) -> None:
            with suppress(ObjectNotFound):
                states[store.name] = store.stat(key).etag

        def remove(store: Storage) -> None:
            if store.name in states:
                store.delete(key, if_match=states[store.name])

        everywhere(self._members, look, self._timing)
        found = [states[member.name] for member in self._ranked(key) if member.name in states]
        if found and found[0] != etag:
            raise ObjectChanged(self.name, key)
        everywhere(self._members, remove, self._timing)

    def _search(
        self, key: str, ask: Callable[[Storage], T], pauses: Sequence[float] | None = None
    ) -> T:
        """What the store that has *key* says."""

        def note(member: Member) -> T:
            answer = ask(member.store)
            self._found(key, member)
            return answer

        timing = self._timing
        patience = Patience(timing) if pauses is None else Patience(timing, pauses)
        return search(self._ranked(key), note, patience)

    def _holder(
        self, key: str, pauses: Sequence[float] | None = None
    ) -> tuple[Storage, ObjectStat]:
        """The store that has an object, and its facts."""
        return self._search(key, lambda store: (store, store.stat(key)), pauses)

    def _forget(self, key: str, member: Member) -> None:
        """Delete what may be an older object of this key, at once or not at all."""
        try:
            with member.admitted():
                member.store.delete(key)
        except StorageUnavailable as error:
            extra = {"store": member.name, "key": key, "reason": error.reason}
            log.warning("older_object_may_remain", extra=extra)


def _bare(stat: ObjectStat) -> ObjectStat:
    """Without the version, which only its own store knows."""
    return replace(stat, version=None)
