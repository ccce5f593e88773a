"""What stores in buckets have in common: a prefix, and credentials that stay secret."""

from __future__ import annotations

from pydantic import SecretStr

from uploadmill.backends.storage.keys import is_key
from uploadmill.errors import InvalidSettings

#: Bytes of the prefix; with the longest key this stays below the 1,024 that all clouds allow.
MAX_PREFIX = 255


def checked_prefix(name: str, base_path: str) -> str:
    """The prefix as keys get it in front: empty, or ending in a slash.

    Raises:
        InvalidSettings: It is no valid key, or too long.
    """
    prefix = base_path.strip("/")
    if not prefix:
        return ""
    if not is_key(prefix) or len(prefix.encode()) > MAX_PREFIX:
        raise InvalidSettings(f"storage {name!r}: the prefix is no valid key, or too long")
    return prefix + "/"


def revealed(secret: SecretStr | str | None) -> str | None:
    """A secret as a client library takes it."""
    return secret.get_secret_value() if isinstance(secret, SecretStr) else secret
