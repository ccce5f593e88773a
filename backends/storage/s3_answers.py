"""What is written into S3's headers, and what its answers say, in the contract's words."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any

from uploadmill.backends.storage.base import ObjectStat
from uploadmill.backends.storage.keys import SHA256_NAME, decoded, encoded


@dataclass(frozen=True, slots=True)
class Facts:
    """What goes with an object's bytes."""

    content_type: str
    metadata: Mapping[str, str]
    sha256: str | None

    @property
    def headers(self) -> dict[str, Any]:
        """As arguments of a request that makes an object."""
        metadata = {name: encoded(value) for name, value in self.metadata.items()}
        if self.sha256 is not None:
            metadata[SHA256_NAME] = self.sha256
        return {"ContentType": self.content_type, "Metadata": metadata}


def created(key: str, facts: Facts, size: int, answer: Mapping[str, Any]) -> ObjectStat:
    """The object that a request has just made."""
    return ObjectStat(
        key=key,
        size=size,
        etag=bare(answer["ETag"]),
        modified=_date(answer),
        content_type=facts.content_type,
        metadata=facts.metadata,
        sha256=facts.sha256,
        version=_version(answer),
    )


def found(key: str, answer: Mapping[str, Any]) -> ObjectStat:
    """The object that a GET or HEAD describes, the whole of it also where a range was read."""
    _, _, total = answer.get("ContentRange", "").rpartition("/")
    metadata = dict(answer.get("Metadata", {}))
    sha256 = metadata.pop(SHA256_NAME, None)
    if sha256 is not None:
        # Ours, so the values are encoded; others' are left as they are.
        metadata = {name: decoded(value) for name, value in metadata.items()}
    return ObjectStat(
        key=key,
        size=int(total) if total else answer["ContentLength"],
        etag=bare(answer["ETag"]),
        modified=answer["LastModified"],
        content_type=answer.get("ContentType"),
        metadata=metadata,
        sha256=sha256,
        version=_version(answer),
    )


def listed(key: str, item: Mapping[str, Any]) -> ObjectStat:
    """An object of a list."""
    return ObjectStat(key, item["Size"], bare(item["ETag"]), item["LastModified"])


def bare(etag: str) -> str:
    """An etag without the quotes that headers put around it."""
    return etag.strip('"')


def quoted(etag: str) -> str:
    """An etag as a condition wants it."""
    return f'"{etag}"'


def _version(answer: Mapping[str, Any]) -> str | None:
    """The version's id; S3 says ``null`` of objects made while it kept none."""
    version = answer.get("VersionId")
    return None if version in (None, "null") else str(version)


def _date(answer: Mapping[str, Any]) -> datetime:
    """When the store answered, by its own clock."""
    date = answer["ResponseMetadata"]["HTTPHeaders"].get("date")
    return parsedate_to_datetime(date) if date else datetime.now(UTC)
