"""From an address to a store: ``file:///path``, ``s3://bucket/prefix``, ``memory:``."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any
from urllib.parse import SplitResult, parse_qsl, unquote, urlsplit

from uploadmill.backends.storage.base import Storage
from uploadmill.backends.storage.local import LocalStorage
from uploadmill.backends.storage.memory import MemoryStorage
from uploadmill.backends.storage.roles import Stores
from uploadmill.errors import InvalidSettings
from uploadmill.settings import Settings, StoreSettings

#: What may stand behind the question mark: nothing secret.
_QUERY: Mapping[str, tuple[str, ...]] = {
    "file": (),
    "memory": (),
    "s3": ("endpoint_url", "region", "addressing"),
}

_SECRETS = ("access_key", "secret_key")


def open_storage(url: str, *, name: str = "storage", **options: Any) -> Storage:
    """The store that *url* names; nothing is connected or made before it is used.

    Args:
        url: ``file:///path``, ``s3://bucket/prefix?endpoint_url=…&region=…``, or ``memory:``.
        name: The store's name in messages and records.
        options: What the store's class takes beside name and address: ``public_url``,
            ``cdn_url``, ``allowed_extensions``, ``max_file_size``; for S3 also ``endpoint_url``,
            ``region``, ``access_key``, ``secret_key``, ``addressing``. They win over the URL's.
            None counts as not given.

    Raises:
        InvalidSettings: No such kind of store, credentials in the URL, an unknown option, or a
            package that is not installed. The message never shows the URL.
    """
    parts = urlsplit(url)
    if parts.scheme not in _OPENERS:
        known = ", ".join(sorted(_OPENERS))
        raise InvalidSettings(f"storage {name!r}: no scheme {parts.scheme!r}; there are: {known}")
    given = {option: value for option, value in options.items() if value is not None}
    try:
        return _OPENERS[parts.scheme](parts, name, _from_query(parts, name) | given)
    except TypeError as error:
        raise InvalidSettings(
            f"storage {name!r}: an option that {parts.scheme} stores do not have, of: "
            + ", ".join(sorted(given))
        ) from error


def storage_from(settings: StoreSettings, name: str) -> Storage:
    """The store that the settings describe, under its role as name."""
    return open_storage(
        settings.url,
        name=name,
        public_url=settings.public_url,
        endpoint_url=settings.endpoint_url,
        region=settings.region,
        access_key=settings.access_key,
        secret_key=settings.secret_key,
        read_timeout=settings.timeout,
    )


def stores_from(settings: Settings) -> Stores:
    """The four stores by role, as the settings describe them."""
    prefix = settings.prefix.strip("/")
    return Stores(
        staging=storage_from(settings.staging, "staging"),
        primary=storage_from(settings.primary, "primary"),
        secondary=storage_from(settings.secondary, "secondary"),
        quarantine=storage_from(settings.quarantine, "quarantine"),
        prefix=f"{prefix}/" if prefix else "",
    )


def _from_query(parts: SplitResult, name: str) -> dict[str, str]:
    """The options in a URL; refuses every place where a secret could hide."""
    query = dict(parse_qsl(parts.query, keep_blank_values=True))
    if "@" in parts.netloc or any(option in query for option in _SECRETS):
        raise InvalidSettings(
            f"storage {name!r}: credentials do not belong in a URL; pass access_key and "
            "secret_key, or leave them to the provider's own chain"
        )
    known = _QUERY[parts.scheme]
    for option in query:
        if option not in known:
            there_are = ", ".join(known) or "none"
            raise InvalidSettings(
                f"storage {name!r}: no option {option!r} in a {parts.scheme} URL; "
                f"there are: {there_are}"
            )
    if "@" in urlsplit(query.get("endpoint_url", "")).netloc:
        raise InvalidSettings(f"storage {name!r}: credentials do not belong in endpoint_url")
    return query


def _open_file(parts: SplitResult, name: str, options: dict[str, Any]) -> Storage:
    if parts.netloc not in ("", "localhost") or not parts.path.startswith("/"):
        raise InvalidSettings(f"storage {name!r}: write file:///path, with three slashes")
    return LocalStorage(unquote(parts.path), name=name, **options)


def _open_memory(parts: SplitResult, name: str, options: dict[str, Any]) -> Storage:
    if parts.netloc or parts.path:
        raise InvalidSettings(f"storage {name!r}: a memory store has no path; write memory:")
    return MemoryStorage(name=name, **options)


def _open_s3(parts: SplitResult, name: str, options: dict[str, Any]) -> Storage:
    if not parts.netloc:
        raise InvalidSettings(f"storage {name!r}: no bucket; write s3://bucket/prefix")
    try:
        from uploadmill.backends.storage.s3 import S3Storage  # noqa: PLC0415 (an extra)
    except ModuleNotFoundError as error:
        if error.name not in ("boto3", "botocore"):
            raise
        raise InvalidSettings(
            f"storage {name!r}: S3 needs boto3, which is not installed: "
            "pip install 'uploadmill[s3]'"
        ) from error
    return S3Storage(parts.netloc, unquote(parts.path), name=name, **options)


_OPENERS: Mapping[str, Callable[[SplitResult, str, dict[str, Any]], Storage]] = {
    "file": _open_file,
    "memory": _open_memory,
    "s3": _open_s3,
}
