"""What callers may say to every store alike; looked at before anything is asked or opened."""

from __future__ import annotations

import re
from collections.abc import Mapping

from uploadmill.backends.storage.addresses import check_lasting
from uploadmill.backends.storage.features import Access
from uploadmill.backends.storage.headers import (
    attachment,
    check_content_type,
    check_header,
    check_metadata,
)
from uploadmill.backends.storage.keys import check_text

_SHA256 = re.compile(r"[0-9a-fA-F]{64}")


def check_put(
    store: str,
    key: str,
    *,
    content_type: str | None = None,
    metadata: Mapping[str, str] | None = None,
    cache_control: str | None = None,
    content_disposition: str | None = None,
    sha256: str | None = None,
    max_size: int | None = None,
) -> None:
    """Refuse what ``put`` is told about an object, where some store could not keep it.

    Raises:
        Unsupported: Says what cannot be kept.
        ValueError: The sha256 or the size is none.
        TypeError: Something is of another type.
    """
    check_metadata(store, key, {} if metadata is None else metadata)
    check_header(store, key, "cache control", cache_control)
    check_header(store, key, "content disposition", content_disposition)
    if content_type is not None:
        check_content_type(store, key, content_type)
    if sha256 is not None:
        check_text("a sha256", sha256)
        if not _SHA256.fullmatch(sha256):
            raise ValueError("a sha256 has 64 hexadecimal digits")
    at_least("max_size", 0, max_size)


def at_least(what: str, least: int, given: int | None) -> None:
    """Refuse a number that is too small; None is not given.

    Raises:
        ValueError: It is less than *least*.
        TypeError: It is no whole number.
    """
    if given is None:
        return
    if not isinstance(given, int):
        raise TypeError(f"{what} is a whole number; this is a {type(given).__name__}")
    if given < least:
        raise ValueError(f"{what} is {least} at least")


def level(access: Access | str) -> Access:
    """A level of access, also from its name.

    Raises:
        ValueError: There is no such level.
    """
    if access in tuple(Access):
        return Access(access)
    raise ValueError("access is one of: " + ", ".join(Access))


def disposition(expires: float | None, filename: str | None) -> str | None:
    """The content disposition of an address that lasts so long; None: the object's own.

    Raises:
        ValueError: It cannot last so long, or has a file name and is not signed.
        TypeError: Something is of another type.
    """
    shown = None if filename in (None, "") else attachment(filename)
    if expires is not None:
        check_lasting(expires)
    elif filename is not None:
        raise ValueError("only a signed address has a file name; say how long it lasts")
    return shown
