"""What a store takes, by its configuration: extensions and sizes."""

from __future__ import annotations

from collections.abc import Iterable

from uploadmill.errors import InvalidSettings, UnsupportedMedia


class Limits:
    """What may be put into a store; without arguments, everything.

    Args:
        allowed_extensions: Such as ``jpg`` or ``.tar.gz``, in any case. None: all.
        max_file_size: In bytes. None: any.

    Raises:
        InvalidSettings: The extensions are one text, or the size is no number of bytes.
    """

    def __init__(
        self,
        allowed_extensions: Iterable[str] | None = None,
        max_file_size: int | None = None,
    ) -> None:
        self._endings = None if allowed_extensions is None else _endings(allowed_extensions)
        if not isinstance(max_file_size, int | None) or (max_file_size or 0) < 0:
            raise InvalidSettings("max_file_size is a number of bytes, 0 or more")
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


def _endings(allowed: Iterable[str]) -> tuple[str, ...]:
    """What keys may end in; a text would be taken letter by letter."""
    listed = [] if isinstance(allowed, str | bytes) else [*allowed]
    bare = [each.strip().lstrip(".").lower() if isinstance(each, str) else "" for each in listed]
    if isinstance(allowed, str | bytes) or not all(bare):
        raise InvalidSettings("allowed_extensions is a list, such as ['jpg', 'png']")
    return tuple(f".{each}" for each in bare)
