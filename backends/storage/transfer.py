"""Take an object from one store to another, proved before the original may go."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from contextlib import suppress

from uploadmill.backends.storage.base import Storage
from uploadmill.backends.storage.features import Access, Feature
from uploadmill.backends.storage.hashing import HashingReader
from uploadmill.backends.storage.objects import ObjectStat
from uploadmill.errors import (
    IntegrityError,
    ObjectChanged,
    ObjectExists,
    ObjectNotFound,
    StorageUnavailable,
    Unsupported,
    UploadmillError,
)

log = logging.getLogger("uploadmill.storage")


def transfer(
    source: Storage,
    found: ObjectStat,
    target: Storage,
    key: str,
    *,
    create_only: bool,
    access: Access | None = None,
) -> ObjectStat:
    """Copy an object to another store as a stream, with all its facts.

    Args:
        source: Where it is.
        found: As ``source.stat`` gave it; another state of it is not copied.
        target: Where it is to be.
        key: There.
        create_only: Whether that must be free.
        access: Who may read the copy; what a new object has when not given.

    Raises:
        ObjectNotFound: It is gone.
        ObjectChanged: It was overwritten meanwhile.
        ObjectExists: *create_only*, and *key* is taken.
        IntegrityError: The bytes are not those that were put once.
    """
    return target.put(
        key,
        lambda: source.open(found.key, if_match=found.etag),
        content_type=found.content_type,
        metadata=found.metadata,
        cache_control=found.cache_control,
        content_disposition=found.content_disposition,
        access=access,
        create_only=create_only,
        sha256=found.sha256,
    )


def bring_all(source: Storage, prefix: str, home: Callable[[str], Storage]) -> Iterator[str]:
    """Move all objects of a store; one that cannot be moved does not hold up the others.

    Args:
        source: Where they are.
        prefix: Of their keys.
        home: The store in which a key is to be.

    Yields:
        Each key that has moved.

    Raises:
        StorageUnavailable: One of the stores gives no answer; the rest stays where it is.
        UploadmillError: At the end, of the first object that could not be moved (see
            :func:`bring`) or that its new store does not take as it is; the log names all.
    """
    stuck: UploadmillError | None = None
    for stat in source.list(prefix):
        try:
            moved = bring(source, stat.key, home(stat.key))
        except StorageUnavailable:
            raise
        except UploadmillError as error:
            extra = {"store": source.name, "key": stat.key, "reason": str(error)}
            log.error("not_moved", extra=extra)  # noqa: TRY400 - the reason says it all
            stuck = stuck or error
            continue
        if moved:
            yield stat.key
    if stuck is not None:
        raise stuck


def bring(source: Storage, key: str, target: Storage) -> bool:
    """Move an object to another store under the same key: copy, read back, then delete.

    Killed in between, both stores have it, and the next call goes on. Access levels go along
    where both stores have them, and the source lets us look. Of two different objects under the
    key the one that was modified last stays, by the stores' own clocks; where they say the same,
    the target's.

    What is deleted from both stores in the very moment of the copy may stay in the target: delete
    it again. An original that has gone is no reason to remove the copy, for it may have been
    another mover, who had read that copy, that removed it.

    Args:
        source: Where it is.
        key: In both.
        target: Where it is to be.

    Returns:
        Whether there was something to move.

    Raises:
        ObjectChanged: It was overwritten meanwhile, in either store; call again.
        IntegrityError: The copy is not the original; that stays.
        StorageUnavailable: One of the stores gives no answer.
    """
    try:
        found = source.stat(key)
        sha256 = _copied(source, found, target)
        if sha256 is not None:
            _prove(target, key, found, sha256)
        source.delete(key, if_match=found.etag)
    except ObjectNotFound:
        return False
    return True


def _copied(source: Storage, found: ObjectStat, target: Storage) -> str | None:
    """The sha256 of what *target* must have now; None: it has something newer, which stays."""
    access = access_of(source, found.key, target)
    with suppress(ObjectExists):
        return _with_access(source, found, target, access, create_only=True).sha256
    there, sha256 = target.stat(found.key), _sha256(source, found)
    if (there.size, _sha256(target, there)) == (found.size, sha256):
        return sha256
    if found.modified <= there.modified:
        return None
    return _with_access(source, found, target, access, create_only=False).sha256


def access_of(source: Storage, key: str, target: Storage) -> Access | None:
    """Who may read an object, where both stores have such levels and we may look; else None."""
    if Feature.ACCESS_LEVELS in {*source.lacks, *target.lacks}:
        return None
    # Reading it is a permission of its own, which many never give: that is no reason to leave
    # the object where it is. An outage will be met again with its bytes.
    with suppress(StorageUnavailable, Unsupported):
        return source.access(key)
    return None


def _with_access(
    source: Storage,
    found: ObjectStat,
    target: Storage,
    access: Access | None,
    *,
    create_only: bool,
) -> ObjectStat:
    """Copy an object with its access; a bucket without levels takes not even *private*."""
    key = found.key
    try:
        return transfer(source, found, target, key, create_only=create_only, access=access)
    except Unsupported:
        if access is not Access.PRIVATE:
            raise
        return transfer(source, found, target, key, create_only=create_only)


def _sha256(store: Storage, stat: ObjectStat) -> str:
    """Of an object that may have been put by others."""
    return stat.sha256 or _hash(store, stat.key)[0].sha256


def _hash(store: Storage, key: str) -> tuple[HashingReader, ObjectStat]:
    with store.open(key) as reader:
        hashing = HashingReader(reader)
        hashing.drain()
    return hashing, reader.stat


def _prove(target: Storage, key: str, found: ObjectStat, sha256: str) -> None:
    """Read the copy: what a store says of its sha256 is what it was told."""
    hashing, stat = _hash(target, key)
    if stat.sha256 not in (None, sha256):
        raise ObjectChanged(target.name, key, "it was overwritten while it was moved there")
    hashing.verify(target.name, key, sha256)
    if hashing.size != found.size:
        raise IntegrityError(target.name, key, "the copy has another size")
