"""From an address or a name and options to a store; see ``open_storage``."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from importlib import import_module
from typing import Any, cast

from uploadmill.backends.storage.base import Storage
from uploadmill.backends.storage.bucket import MAX_PREFIX
from uploadmill.backends.storage.keys import is_key
from uploadmill.backends.storage.roles import Stores
from uploadmill.errors import InvalidSettings
from uploadmill.mistakes import noted, refuse
from uploadmill.settings import Settings
from uploadmill.settings_stores import ROLES, StoreSettings
from uploadmill.store_url import FORMS, url_options


@dataclass(frozen=True, slots=True)
class _Kind:
    """One kind of store.

    Attributes:
        module: Where its class is, imported when such a store is opened.
        storage: The class.
        extra: Of the distribution, that brings what the module imports.
        imports: The packages that come with the extra.
    """

    module: str
    storage: str
    extra: str = ""
    imports: tuple[str, ...] = ()


#: By the scheme of their URLs.
_SCHEMES: Mapping[str, _Kind] = {
    "file": _Kind("local", "LocalStorage"),
    "memory": _Kind("memory", "MemoryStorage"),
    "s3": _Kind("s3", "S3Storage", "s3", ("boto3", "botocore")),
    "gs": _Kind("gcs", "GoogleStorage", "gcs", ("google",)),
    "azure": _Kind("azure", "AzureStorage", "azure", ("azure",)),
}

#: The names under which kinds can be opened by options alone.
_NAMES = {"local": "file", "memory": "memory", "s3": "s3", "gcs": "gs", "azure": "azure"}


def open_storage(url: str, *, name: str = "storage", **options: Any) -> Storage:
    """The store that *url* names; nothing is connected or made before it is used.

    Args:
        url: ``file:///path``, ``s3://bucket/prefix?endpoint_url=…&region=…``,
            ``gs://bucket/prefix``, ``azure://container/prefix?account_url=…``, or ``memory:``.
            Or the name of a kind alone, with everything else as options: ``local``, ``s3``,
            ``gcs``, ``azure``, ``memory``.
        name: The store's name in messages and records.
        options: What the store's class takes; they win over the URL's, and None counts as not
            given. All: ``public_url``, ``cdn_url``, ``allowed_extensions``, ``max_file_size``.
            Local: ``base_path``. S3: ``bucket``, ``base_path``, ``endpoint_url``, ``region``,
            ``access_key``, ``secret_key``, ``addressing``. Google: ``bucket``, ``base_path``,
            ``project_id``, ``credentials_path``. Azure: ``container``, ``base_path``,
            ``account_url``, ``access_key``, ``credentials_path``.

    Raises:
        InvalidSettings: No such kind of store, credentials in the URL, an unknown option, or a
            package that is not installed. The message never shows the URL.
    """
    given = {option: value for option, value in options.items() if value is not None}
    scheme, spelled_out = _read(url, name)
    return _construct(scheme, name, spelled_out | given)


def storage_from(settings: StoreSettings, name: str) -> Storage:
    """The store that the settings describe, under its role as name."""
    options = settings.model_dump(exclude={"url", "timeout"})
    return open_storage(settings.url, name=name, read_timeout=settings.timeout, **options)


def stores_from(settings: Settings, needed: Collection[str] = ROLES) -> Stores:
    """The stores by role, as the settings describe them; those not *needed* cannot be used.

    Raises:
        InvalidSettings: With everything for which one of them cannot be opened.
    """
    opened: dict[str, Storage] = {}
    mistakes: list[str] = []
    for role in ROLES:
        with noted(mistakes):
            store = storage_from(getattr(settings, role), role) if role in needed else _Left(role)
            opened[role] = cast("Storage", store)
    prefix = settings.prefix.strip("/")
    if prefix and (not is_key(prefix) or len(prefix.encode()) > MAX_PREFIX):
        mistakes.append("prefix: no key can begin with it, or it is too long")
    refuse("the stores cannot be opened as the settings describe them", mistakes)
    return Stores(
        staging=opened["staging"],
        primary=opened["primary"],
        secondary=opened["secondary"],
        quarantine=opened["quarantine"],
        prefix=f"{prefix}/" if prefix else "",
    )


class _Left:
    """Stands for a store that was left alone: its package or key file may not even be here."""

    def __init__(self, role: str) -> None:
        self.name = role

    def __getattr__(self, method: str) -> Any:
        raise LookupError(f"{method}: the store {self.name!r} was not opened, as nobody needed it")


def _read(url: str, name: str) -> tuple[str, dict[str, str]]:
    """The scheme, and the options that are spelled out in the URL."""
    if isinstance(url, str) and url in _NAMES:
        return _NAMES[url], {}
    try:
        return url_options(url)
    except ValueError as error:
        raise InvalidSettings(f"storage {name!r}: {error}") from None


def _construct(scheme: str, name: str, options: dict[str, Any]) -> Storage:
    kind, within = _SCHEMES[scheme], FORMS[scheme].within
    if within and not options.get(within):
        raise InvalidSettings(f"storage {name!r}: no {within}; write {scheme}://{within}/prefix")
    constructor = _class_of(kind, name)
    try:
        return constructor(name=name, **options)
    except TypeError as error:
        raise InvalidSettings(
            f"storage {name!r}: an option that {scheme} stores do not have, or one that they "
            "need is missing; given: " + (", ".join(sorted(options)) or "none")
        ) from error
    except ValueError:
        # Which one is not said, nor why: its text may hold a secret.
        raise InvalidSettings(
            f"storage {name!r}: an option has a value that {scheme} stores cannot take; given: "
            + (", ".join(sorted(options)) or "none")
        ) from None


def _class_of(kind: _Kind, name: str) -> Callable[..., Storage]:
    try:
        module = import_module(f"uploadmill.backends.storage.{kind.module}")
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] not in kind.imports:
            raise
        raise InvalidSettings(
            f"storage {name!r}: {kind.storage} needs {error.name}, which is not installed: "
            f"pip install 'uploadmill[{kind.extra}]'"
        ) from error
    constructor: Callable[..., Storage] = getattr(module, kind.storage)
    return constructor
