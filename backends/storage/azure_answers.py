"""What is written into Azure's headers, and what its answers say, in the contract's words."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from azure.storage.blob import BlobPrefix, BlobProperties, ContentSettings

from uploadmill.backends.storage.azure_names import (
    azure_metadata,
    blob_name,
    from_azure_metadata,
    key_of,
)
from uploadmill.backends.storage.facts import Facts
from uploadmill.backends.storage.keys import is_key
from uploadmill.backends.storage.listing import Entry
from uploadmill.backends.storage.objects import Folder, ObjectStat


def headers(facts: Facts) -> dict[str, Any]:
    """Facts as arguments of a request that makes a blob."""
    return {
        "content_settings": ContentSettings(
            content_type=facts.content_type,
            cache_control=facts.cache_control,
            content_disposition=facts.content_disposition,
        ),
        "metadata": azure_metadata(facts.metadata, facts.sha256),
    }


def created(key: str, facts: Facts, size: int, answer: Mapping[str, Any]) -> ObjectStat:
    """The object that a request has just made."""
    return ObjectStat(
        key=key,
        size=size,
        etag=bare(answer["etag"]),
        modified=answer["last_modified"],
        content_type=facts.content_type,
        metadata=facts.metadata,
        sha256=facts.sha256,
        version=answer.get("version_id"),
        cache_control=facts.cache_control,
        content_disposition=facts.content_disposition,
    )


def found(key: str, blob: BlobProperties) -> ObjectStat:
    """The object that a GET, a HEAD or a list of versions describes; the whole of it."""
    _, _, total = (blob.content_range or "").rpartition("/")
    metadata, sha256 = from_azure_metadata(blob.metadata)
    return ObjectStat(
        key=key,
        size=int(total) if total else blob.size,
        etag=bare(blob.etag),
        modified=blob.last_modified,
        content_type=blob.content_settings.content_type,
        metadata=metadata,
        sha256=sha256,
        version=blob.version_id,
        cache_control=blob.content_settings.cache_control or None,
        content_disposition=blob.content_settings.content_disposition or None,
    )


def listed(items: Iterable[BlobProperties | BlobPrefix], prefix: str, asked: str) -> list[Entry]:
    """A page's entries in key order.

    Args:
        items: Of the page.
        prefix: The store's own.
        asked: What keys must start with, in the store's own prefix.
    """
    entries = [_entry(item, prefix) for item in items if _is_ours(item.name)]
    valid = [entry for entry in entries if _is_asked_for(entry, asked)]
    return sorted(valid, key=lambda entry: entry.key)


def _entry(item: BlobProperties | BlobPrefix, prefix: str) -> Entry:
    key = key_of(item.name).removeprefix(prefix)
    if isinstance(item, BlobPrefix):
        return Folder(key)
    return ObjectStat(key, item.size, bare(item.etag), item.last_modified)


def _is_ours(name: str) -> bool:
    """Whether some key has this name; others may have put what no key stands for."""
    return blob_name(key_of(name)) == name


def _is_asked_for(entry: Entry, asked: str) -> bool:
    key = entry.key.removesuffix("/") if isinstance(entry, Folder) else entry.key
    return is_key(key) and entry.key.startswith(asked)


def bare(etag: str | None) -> str:
    """An etag without the quotes that headers put around it.

    Raises:
        ValueError: There is none, so nobody of Azure's has answered.
    """
    if etag is None:
        raise ValueError("an answer without an etag")
    return etag.strip('"')


def quoted(etag: str) -> str:
    """An etag as a condition wants it."""
    return f'"{etag}"'
