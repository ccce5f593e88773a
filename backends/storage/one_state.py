"""What there is to read of one state of an object, where a store's answers are of two requests.

A store that has nothing in a range (416) does not say of which state; asked for the facts, it may
give those of another that was written in between.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from uploadmill.backends.storage.arguments import Part
from uploadmill.backends.storage.objects import ObjectStat
from uploadmill.errors import ObjectChanged

#: Times an object is asked for anew because it was overwritten between two requests. A writer
#: that never rested, on the same host, came in between at one look of four.
LOOKS = 5

T = TypeVar("T")


def beginning(
    store: str,
    key: str,
    part: Part,
    get: Callable[[], T | None],
    head: Callable[[], ObjectStat],
) -> T | ObjectStat:
    """The answer that brings the part's bytes, or the facts of an object that has none there.

    Args:
        store: For messages.
        key: For messages.
        part: What is asked for.
        get: Asks for it; None where the store says that there is nothing.
        head: Asks for the facts.

    Raises:
        ObjectChanged: Again and again it had nothing there, and had it a moment later.
    """
    for _ in range(LOOKS):
        answer = get() if part.length != 0 else None
        if answer is not None:
            return answer
        stat = head()
        if not part.length_of(stat.size):
            return stat
    raise overtaken(store, key)


def overtaken(store: str, key: str) -> ObjectChanged:
    """What is said of an object that does not keep still."""
    return ObjectChanged(store, key, "it is overwritten faster than it can be opened")
