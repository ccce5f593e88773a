"""Several mistakes in one message, for those who mend their settings once."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from uploadmill.errors import InvalidSettings


@contextmanager
def noted(mistakes: list[str], where: str = "") -> Iterator[None]:
    """Note what the block finds wrong with the settings, and go on behind it.

    Args:
        mistakes: Gets a line for each, one that is there already no second time.
        where: What each line begins with.
    """
    try:
        yield
    except InvalidSettings as error:
        lines = [f"{where}{mistake}" for mistake in error.mistakes]
        mistakes += [line for line in lines if line not in mistakes]


def refuse(what: str, mistakes: list[str]) -> None:
    """Raise what was noted, if anything.

    Raises:
        InvalidSettings: With all of it.
    """
    if mistakes:
        raise InvalidSettings(what, tuple(mistakes))
