"""What a store knows of an object, and of a folder of them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime


@dataclass(frozen=True, slots=True)
class ObjectStat:
    """What a store knows of an object.

    Attributes:
        key: Inside the store's prefix.
        size: In bytes.
        etag: Changes whenever the bytes change; compare it, never interpret it.
        modified: By the store's clock, aware.
        content_type: None from ``list`` where the store does not list it.
        metadata: The user's own; empty from ``list`` where the store does not list it.
        sha256: Hex, as computed by uploadmill when it wrote the object; None for others'
            objects, and from ``list`` where the store does not list it.
        version: Where the store keeps versions.
        cache_control: What it is served with; None where nothing was given, and from ``list``.
        content_disposition: The same.
    """

    key: str
    size: int
    etag: str
    modified: datetime
    content_type: str | None = None
    metadata: Mapping[str, str] = field(default_factory=dict)
    sha256: str | None = None
    version: str | None = None
    cache_control: str | None = None
    content_disposition: str | None = None


@dataclass(frozen=True, slots=True)
class Folder:
    """What a list with a delimiter gives for all keys with the same next segment.

    Attributes:
        key: What these keys start with, ending in the delimiter.
    """

    key: str
