"""What goes with an object's bytes, and is kept by a copy."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from uploadmill.backends.storage.content_types import type_by_extension
from uploadmill.backends.storage.objects import ObjectStat


@dataclass(frozen=True, slots=True)
class Facts:
    """As they are put; the sha256 is None until the bytes have been read."""

    content_type: str
    metadata: Mapping[str, str] = field(default_factory=dict)
    sha256: str | None = None
    cache_control: str | None = None
    content_disposition: str | None = None


def facts_of(stat: ObjectStat) -> Facts:
    """What a copy of this object is to have."""
    return Facts(
        stat.content_type or type_by_extension(stat.key),
        stat.metadata,
        stat.sha256,
        stat.cache_control,
        stat.content_disposition,
    )
