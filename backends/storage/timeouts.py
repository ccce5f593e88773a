"""How long a store's server may keep silent, whoever has built it."""

from __future__ import annotations

from typing import Literal

#: How much time a call takes when all is well. ``brisk``: it only looks whether anybody is there,
#: or tidies up after a failure. ``long``: the server copies or joins before it answers.
Silence = Literal["brisk", "usual", "long"]

#: Seconds to connect in.
CONNECT_TIMEOUT = 3.0

#: Seconds to wait for the next bytes in. Two calls into a black hole are 8 s: what a commit may
#: lose before it fails over.
READ_TIMEOUT = 4.0

#: The same for brisk calls.
BRISK_TIMEOUT = 3.0

#: The same for long ones: a minute.
LONG_TIMEOUT = 60.0


def timeouts(silence: Silence, usual: float) -> tuple[float, float]:
    """Seconds to connect in, and to wait for the next bytes in.

    Args:
        silence: What kind of call it is.
        usual: Seconds that the store's settings give the server for a usual one.
    """
    longest = {
        "brisk": min(BRISK_TIMEOUT, usual),
        "usual": usual,
        "long": max(LONG_TIMEOUT, usual),
    }[silence]
    return min(CONNECT_TIMEOUT, longest), longest
