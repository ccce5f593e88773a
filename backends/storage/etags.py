"""Etags as they come back from callers: as an object's state was told, or as anything else."""

from __future__ import annotations

import re

#: What a store may give: visible ASCII without quotes, which servers put around an etag, and
#: without commas, which make a list of several. The limit keeps it within a header.
_ETAG = re.compile(r"[!#-+\--~]{1,1024}")


def is_etag(text: str) -> bool:
    """Whether *text* can be the etag of an object; ``*`` is any to a server, and so is none."""
    return text != "*" and _ETAG.fullmatch(text) is not None
