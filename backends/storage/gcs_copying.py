"""Copies inside the bucket: Google rewrites one state of an object, request by request."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from google.api_core.exceptions import NotFound, PreconditionFailed

from uploadmill.backends.storage.gcs_answers import KEPT
from uploadmill.backends.storage.gcs_errors import translated
from uploadmill.backends.storage.gcs_objects import GoogleObjects
from uploadmill.backends.storage.objects import ObjectStat
from uploadmill.errors import ObjectChanged, ObjectExists


@dataclass(frozen=True, slots=True)
class Copy:
    """What to copy, and where to.

    Attributes:
        source: A key.
        version: Of the source; None: the newest.
        target: A key.
        create_only: Whether *target* must be free.
    """

    source: str
    target: str
    version: str | None = None
    create_only: bool = False


def copied(objects: GoogleObjects, copy: Copy) -> ObjectStat:
    """Copy an object of any size, with all that Google keeps beside its bytes.

    Raises:
        ObjectNotFound: No such source.
        ObjectChanged: The source was overwritten meanwhile.
        ObjectExists: The target is taken.
    """
    # Asked now: an outage after the copy would deny an object that was made.
    objects.lacks()
    # Any number of requests may follow, so it is worth one to look first.
    if copy.create_only and objects.exists(copy.target):
        raise ObjectExists(objects.store, copy.target)
    original = objects.look_up(copy.source, copy.version)
    made = objects.blob(copy.target)
    for fact in KEPT:
        value = getattr(original, fact)
        if value is not None:
            setattr(made, fact, value)
    token = _rewrite(objects, copy, original, made)
    while token is not None:
        token = _rewrite(objects, copy, original, made, token)
    return objects.described(copy.target, made)


def _rewrite(
    objects: GoogleObjects, copy: Copy, original: Any, made: Any, token: str | None = None
) -> str | None:
    """Have Google copy as much as it likes to; the token to go on with, None at the end."""
    with translated(objects.store, copy.source):
        try:
            token, *_ = made.rewrite(
                original,
                token=token,
                if_generation_match=0 if copy.create_only else None,
                if_source_generation_match=original.generation,
                **objects.bucket.how("long"),
            )
        except (NotFound, PreconditionFailed) as error:
            # There are two conditions, and nobody has said which of them did not hold.
            if copy.create_only and objects.exists(copy.target):
                raise ObjectExists(objects.store, copy.target) from error
            objects.look_up(copy.source, copy.version)
            raise ObjectChanged(objects.store, copy.source) from error
    return token
