"""What a store takes, by its configuration: extensions and sizes."""

from __future__ import annotations

from collections.abc import Iterable

from uploadmill.errors import UnsupportedMedia


class Limits:
    """What may be put into a store; without arguments, everything.

    Args:
        allowed_extensions: Such as ``jpg`` or ``.tar.gz``, in any case. None: all.
        max_file_size: In bytes. None: any.
    """

    def __init__(
        self,
        allowed_extensions: Iterable[str] | None = None,
        max_file_size: int | None = None,
    ) -> None:
        self._endings = (
            None
            if allowed_extensions is None
            else tuple(f".{each.strip().lstrip('.').lower()}" for each in allowed_extensions)
        )
        self._max_file_size = max_file_size

    def check_extension(self, store: str, key: str) -> None:
        """Refuse a key that ends in none of the allowed extensions.

        Raises:
            UnsupportedMedia: Names the extensions that are allowed.
        """
        if self._endings is not None and not key.lower().endswith(self._endings):
            there_are = ", ".join(self._endings) or "none"
            raise UnsupportedMedia(f"storage {store!r} takes no such file; it takes: {there_are}")

    def size(self, asked: int | None) -> int | None:
        """The smaller of *asked* and the store's own limit, in bytes; None: any."""
        limits = [limit for limit in (asked, self._max_file_size) if limit is not None]
        return min(limits, default=None)

    def sizes(self, least: int, most: int) -> range:
        """The sizes, in bytes, that an upload from *least* to *most* may have in this store.

        Raises:
            ValueError: There is none.
        """
        allowed = range(least, (self.size(most) or 0) + 1)
        if least < 0 or not allowed:
            raise ValueError("no upload can have such a size: compare min_size and max_size")
        return allowed
