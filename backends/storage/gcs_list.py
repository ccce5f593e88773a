"""Lists of objects by pages, and of the versions of one."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from uploadmill.backends.storage.arguments import Ask
from uploadmill.backends.storage.gcs_answers import LISTED, listed
from uploadmill.backends.storage.gcs_errors import translated
from uploadmill.backends.storage.gcs_objects import GoogleObjects
from uploadmill.backends.storage.listing import Entry, Page, key_before, token_after
from uploadmill.backends.storage.objects import ObjectStat


def pages(objects: GoogleObjects, ask: Ask, page_size: int) -> Iterator[Page]:
    """The pages of a list.

    Between the pages of one list Google's own tokens lead on; from one list to the next it is
    the last key given, which does not expire.
    """
    after, left, token = key_before(ask.token), ask.limit, None
    while True:
        size = page_size if left is None else min(page_size, left)
        entries, token = _page(objects, ask, after, size, token)
        given = entries[:left]
        left = None if left is None else left - len(given)
        more = token is not None or len(given) < len(entries)
        yield Page(given, token_after(given[-1].key) if more and left == 0 else None)
        if not more or left == 0:
            return


def _page(
    objects: GoogleObjects, ask: Ask, after: str, size: int, token: str | None
) -> tuple[list[Entry], str | None]:
    """What comes after a key, and Google's token for what comes then."""
    with translated(objects.store):
        connection = objects.bucket.connection
        iterator = connection.client.list_blobs(
            connection.bucket,
            max_results=size,
            page_token=token,
            prefix=objects.prefix + ask.prefix,
            delimiter="/" if ask.folders else None,
            start_offset=objects.prefix + after if after else None,
            fields=LISTED,
            **objects.bucket.how(),
        )
        blobs = list(next(iterator.pages, ()))
    entries = listed(blobs, iterator.prefixes, objects.prefix, versions=objects.versions)
    # Google starts with the key itself.
    return [entry for entry in entries if entry.key > after], iterator.next_page_token


def versions(objects: GoogleObjects, key: str, page_size: int) -> Iterator[ObjectStat]:
    """The kept states of an object, the newest first."""
    name = objects.prefix + key
    with translated(objects.store, key):
        connection = objects.bucket.connection
        blobs = connection.client.list_blobs(
            connection.bucket,
            prefix=name,
            # All longer names come after this, but for those with a control character.
            end_offset=name + " ",
            # As JSON writes it; the client would make "True" of it, which only Google takes.
            versions="true",
            page_size=page_size,
            **objects.bucket.how(),
        )
        kept = [blob for blob in blobs if blob.name == name]
    kept.sort(key=_generation, reverse=True)
    return (objects.described(key, blob) for blob in kept)


def _generation(blob: Any) -> int:
    return int(blob.generation)
