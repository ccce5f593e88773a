"""What not every store has, and the words for it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum


class Feature(StrEnum):
    """What not every store has; elsewhere :class:`~uploadmill.errors.Unsupported` is raised."""

    VERSIONS = "versions"
    SIGNED_URLS = "signed urls"
    PRESIGNED_UPLOADS = "presigned uploads"
    ACCESS_LEVELS = "access levels"


class Access(StrEnum):
    """Who may read an object without credentials."""

    PRIVATE = "private"
    PUBLIC_READ = "public-read"


@dataclass(frozen=True, slots=True)
class PresignedUpload:
    """What a browser, or any other client, needs to put one object without credentials.

    It is as good as a credential until it expires: never log it.

    Attributes:
        url: Where to send to.
        fields: Of the form, to be sent before the field ``file``.
    """

    url: str = field(repr=False)
    fields: Mapping[str, str] = field(repr=False)
