"""What is written into S3's headers, and what its answers say, in the contract's words."""

from __future__ import annotations

import base64
from collections.abc import Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any

from botocore.parsers import ResponseParserError

from uploadmill.backends.storage.content_types import DEFAULT_TYPE
from uploadmill.backends.storage.facts import Facts
from uploadmill.backends.storage.headers import SHA256_NAME, decoded, encoded
from uploadmill.backends.storage.keys import is_key
from uploadmill.backends.storage.listing import FOREIGN, Entry, Page
from uploadmill.backends.storage.objects import Folder, ObjectStat

#: How the type that says nothing is sent. In its usual letters some servers (SeaweedFS) take it for
#: none and answer with that of the key's extension; types are the same in any case (RFC 2045).
_SENT_DEFAULT = "Application/Octet-Stream"

#: What the inside of our tokens begins with.
_OUR_TOKEN = b"s3 "


def headers(facts: Facts) -> dict[str, Any]:
    """Facts as arguments of a request that makes an object.

    Only what has a sha256 is ours and encoded: others' metadata is copied as it was found.
    """
    metadata = dict(facts.metadata)
    if facts.sha256 is not None:
        metadata = {name: encoded(value) for name, value in metadata.items()}
        metadata[SHA256_NAME] = facts.sha256
    given = {
        "CacheControl": facts.cache_control,
        "ContentDisposition": facts.content_disposition,
    }
    return {
        "ContentType": sent_type(facts.content_type),
        "Metadata": metadata,
        **{name: value for name, value in given.items() if value is not None},
    }


def sent_type(content_type: str) -> str:
    """A content type as it is sent to a server."""
    return _SENT_DEFAULT if content_type == DEFAULT_TYPE else content_type


def _told_type(content_type: str | None) -> str | None:
    """A content type as it was before it was sent."""
    return DEFAULT_TYPE if content_type == _SENT_DEFAULT else content_type


def told(answer: Mapping[str, Any], name: str) -> Any:
    """What an answer must say, and does not where it was cut off.

    Raises:
        ResponseParserError: It does not.
    """
    if name not in answer:
        raise ResponseParserError(f"the answer has no {name}")
    return answer[name]


def created(key: str, facts: Facts, size: int, answer: Mapping[str, Any]) -> ObjectStat:
    """The object that a request has just made."""
    return ObjectStat(
        key=key,
        size=size,
        etag=bare(told(answer, "ETag")),
        modified=_date(answer),
        content_type=_told_type(facts.content_type),
        metadata=facts.metadata,
        sha256=facts.sha256,
        version=_version(answer),
        cache_control=facts.cache_control,
        content_disposition=facts.content_disposition,
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
        size=int(total) if total else told(answer, "ContentLength"),
        etag=bare(told(answer, "ETag")),
        modified=told(answer, "LastModified"),
        content_type=_told_type(answer.get("ContentType")),
        metadata=metadata,
        sha256=sha256,
        version=_version(answer),
        cache_control=answer.get("CacheControl"),
        content_disposition=answer.get("ContentDisposition"),
    )


def listed(answer: Mapping[str, Any], prefix: str) -> Page:
    """A page of a list; *prefix* is the store's own."""
    entries: list[Entry] = [_listed(item, prefix) for item in answer.get("Contents", ())]
    if folders := answer.get("CommonPrefixes"):
        entries += [Folder(item["Prefix"].removeprefix(prefix)) for item in folders]
        entries.sort(key=lambda entry: entry.key)
    valid = [entry for entry in entries if _has_valid_key(entry)]
    return Page(valid, answer.get("NextContinuationToken"))


def token_of(server: str | None) -> str | None:
    """A server's token as ours; some servers take any text for one, so ours is marked."""
    if server is None:
        return None
    return base64.urlsafe_b64encode(_OUR_TOKEN + server.encode()).decode()


def server_token(token: str | None) -> str | None:
    """The server's token in ours.

    Raises:
        ValueError: This is no such token.
    """
    if token is None:
        return None
    try:
        inside = base64.b64decode(token.encode("ascii"), altchars=b"-_", validate=True)
        marked, server = inside.startswith(_OUR_TOKEN), inside.removeprefix(_OUR_TOKEN).decode()
    except ValueError as error:
        raise ValueError(FOREIGN) from error
    if not marked:
        raise ValueError(FOREIGN)
    return server


def server_name(answer: Mapping[str, Any]) -> str:
    """What the server calls itself; empty where it does not."""
    return str(answer["ResponseMetadata"]["HTTPHeaders"].get("server", ""))


def kept(key: str, item: Mapping[str, Any]) -> ObjectStat:
    """One state of an object, of a list of versions."""
    return ObjectStat(
        key, item["Size"], bare(item["ETag"]), item["LastModified"], version=item["VersionId"]
    )


def _listed(item: Mapping[str, Any], prefix: str) -> ObjectStat:
    key = item["Key"].removeprefix(prefix)
    return ObjectStat(key, item["Size"], bare(item["ETag"]), item["LastModified"])


def _has_valid_key(entry: Entry) -> bool:
    return is_key(entry.key.removesuffix("/") if isinstance(entry, Folder) else entry.key)


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
