"""What is written into Google's objects, and what its answers say, in the contract's words."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any

from uploadmill.backends.storage.facts import Facts
from uploadmill.backends.storage.headers import SHA256_NAME, decoded, encoded
from uploadmill.backends.storage.keys import is_key
from uploadmill.backends.storage.listing import Entry
from uploadmill.backends.storage.objects import Folder, ObjectStat

#: What a list asks for of each object, so that a page of 1,000 stays small.
LISTED = "items(name,size,generation,timeCreated,contentType,metadata),prefixes,nextPageToken"

#: What Google keeps beside an object's bytes and a copy is to have.
KEPT = (
    "content_type",
    "metadata",
    "cache_control",
    "content_disposition",
    "content_encoding",
    "content_language",
)


def resource(name: str, facts: Facts) -> dict[str, Any]:
    """An object as a request that makes it describes it."""
    metadata = {name: encoded(value) for name, value in facts.metadata.items()}
    if facts.sha256 is not None:
        metadata[SHA256_NAME] = facts.sha256
    given = {
        "name": name,
        "contentType": facts.content_type,
        "metadata": metadata,
        "cacheControl": facts.cache_control,
        "contentDisposition": facts.content_disposition,
    }
    return {name: value for name, value in given.items() if value is not None}


def created(
    key: str, facts: Facts, size: int, answer: Mapping[str, Any], *, versions: bool
) -> ObjectStat:
    """The object that an upload has just made."""
    generation = str(answer["generation"])
    return ObjectStat(
        key=key,
        size=size,
        etag=generation,
        modified=datetime.fromisoformat(answer["timeCreated"]),
        content_type=facts.content_type,
        metadata=facts.metadata,
        sha256=facts.sha256,
        version=generation if versions else None,
        cache_control=facts.cache_control,
        content_disposition=facts.content_disposition,
    )


def found(key: str, blob: Any, *, versions: bool) -> ObjectStat:
    """The object that Google's handle describes.

    Its generation is the etag: it changes with the bytes, and only with them. Google's own etag
    changes with the access, too.
    """
    metadata = dict(blob.metadata or {})
    sha256 = metadata.pop(SHA256_NAME, None)
    if sha256 is not None:
        # Ours, so the values are encoded; others' are left as they are.
        metadata = {name: decoded(value) for name, value in metadata.items()}
    return ObjectStat(
        key=key,
        size=int(blob.size),
        etag=str(blob.generation),
        modified=blob.time_created,
        content_type=blob.content_type,
        metadata=metadata,
        sha256=sha256,
        version=str(blob.generation) if versions else None,
        cache_control=blob.cache_control,
        content_disposition=blob.content_disposition,
    )


def listed(
    blobs: Iterable[Any], folders: Iterable[str], prefix: str, *, versions: bool
) -> list[Entry]:
    """The entries of a page in key order; *prefix* is the store's own.

    What is no valid key is left out: nothing could be done with it.
    """
    named = ((blob.name.removeprefix(prefix), blob) for blob in blobs)
    entries: list[Entry] = [
        found(key, blob, versions=versions) for key, blob in named if is_key(key)
    ]
    keys = (folder.removeprefix(prefix) for folder in folders)
    entries += [Folder(key) for key in keys if is_key(key.removesuffix("/"))]
    return sorted(entries, key=lambda entry: entry.key)
