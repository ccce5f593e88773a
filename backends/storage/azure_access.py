"""Where a storage account is, and how to get in: an account key, or the provider's own chain."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

from pydantic import SecretStr

from uploadmill.backends.storage.addresses import insist
from uploadmill.backends.storage.bucket import revealed
from uploadmill.backends.storage.timeouts import READ_TIMEOUT
from uploadmill.errors import InvalidSettings
from uploadmill.store_url import check_endpoint


@dataclass(frozen=True, slots=True)
class AzureAccess:
    """An account, and the key to it.

    Attributes:
        account_url: Of its blob service.
        account: Its name.
        key: None is the provider's own chain (environment, workload or managed identity, …).
        read_timeout: Seconds to wait for the next bytes in.
    """

    account_url: str
    account: str
    key: str | None = field(default=None, repr=False)
    read_timeout: float = READ_TIMEOUT


def azure_access(
    store: str,
    account_url: str | None,
    access_key: SecretStr | str | None,
    credentials_path: str | None,
    read_timeout: float,
) -> AzureAccess:
    """The access that these options describe.

    Args:
        store: For messages.
        account_url: None: as the connection string in the file has it.
        access_key: An account key.
        credentials_path: A file with a connection string, or with nothing but an account key.
        read_timeout: Seconds to wait for the next bytes in.

    Raises:
        InvalidSettings: They contradict each other, or do not say enough.
    """
    if access_key is not None and credentials_path is not None:
        raise _mistake(store, "access_key and credentials_path are two keys; give one")
    said = _from_file(store, credentials_path) if credentials_path else {}
    url = (account_url or _endpoint(said) or "").rstrip("/")
    if not url:
        raise _mistake(store, "account_url is missing; write https://ACCOUNT.blob.core.windows.net")
    insist(store, check_endpoint, "account_url", url)
    key = revealed(access_key) or said.get("accountkey")
    _check_key(store, key, url)
    return AzureAccess(url, said.get("accountname") or _account(url), key, read_timeout)


def _from_file(store: str, path: str) -> Mapping[str, str]:
    """What a file of credentials says, by lower-case names."""
    try:
        text = Path(path).read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise _mistake(store, f"credentials_path cannot be read: {type(error).__name__}") from error
    if ";" not in text:
        return {"accountkey": text}
    pairs = (pair.split("=", 1) for pair in text.split(";") if "=" in pair)
    said = {name.strip().lower(): value.strip() for name, value in pairs}
    if "accountkey" not in said:
        raise _mistake(store, "the connection string in credentials_path has no AccountKey")
    return said


def _endpoint(said: Mapping[str, str]) -> str | None:
    """The address of the blob service in a connection string."""
    if "blobendpoint" in said or "accountname" not in said:
        return said.get("blobendpoint")
    scheme = said.get("defaultendpointsprotocol", "https")
    return f"{scheme}://{said['accountname']}.blob.{said.get('endpointsuffix', 'core.windows.net')}"


def _account(url: str) -> str:
    """The account's name: the address's path (emulators), or the first part of its host."""
    parts = urlsplit(url)
    return parts.path.strip("/") or (parts.hostname or "").partition(".")[0]


def _check_key(store: str, key: str | None, url: str) -> None:
    if key is None:
        if urlsplit(url).scheme != "https":
            raise _mistake(store, "without an account key account_url must be https")
        return
    try:
        base64.b64decode(key, validate=True)
    except (binascii.Error, ValueError):
        raise _mistake(store, "the account key is no base64") from None


def _mistake(store: str, what: str) -> InvalidSettings:
    return InvalidSettings(f"storage {store!r}: {what}")
