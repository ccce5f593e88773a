"""What every store's addresses have in common."""

from __future__ import annotations

from collections.abc import Callable
from urllib.parse import quote

from uploadmill.errors import InvalidSettings

#: Seconds of a hundred years: what lasts longer has no date that every client can write.
_LONGEST = 100 * 366 * 86_400


def insist(store: str, check: Callable[[str, str], None], option: str, address: str | None) -> None:
    """Have an option that is an address checked; None is not given.

    Raises:
        InvalidSettings: Says what is wrong, and never shows it.
    """
    if address is None:
        return
    try:
        check(option, address)
    except ValueError as error:
        raise InvalidSettings(f"storage {store!r}: {error}") from None


def check_lasting(expires: float) -> None:
    """Refuse what stores treat unlike: some would sign for a second, others for the past.

    Raises:
        ValueError: It is no number of seconds from now on, or one beyond all calendars.
        TypeError: It is no number.
    """
    if not isinstance(expires, int | float):
        what = type(expires).__name__
        raise TypeError(f"say for how many seconds it lasts, such as 3600; this is a {what}")
    if not 0 < expires <= _LONGEST:
        raise ValueError("say for how many seconds it lasts, more than 0 and below 100 years")


def public_address(public_url: str | None, key: str) -> str | None:
    """Where the world reads *key*, for a store whose objects lie under *public_url*."""
    return None if public_url is None else f"{public_url.rstrip('/')}/{quote(key)}"
