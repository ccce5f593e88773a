"""Read an object of a container, or a part of it, as a stream of one state."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from http import HTTPStatus

from azure.core.exceptions import HttpResponseError
from azure.storage.blob import StorageStreamDownloader

from uploadmill.backends.storage.arguments import Part
from uploadmill.backends.storage.azure_errors import status_of, translated
from uploadmill.backends.storage.azure_objects import AzureObjects
from uploadmill.backends.storage.objects import ObjectStat
from uploadmill.backends.storage.one_state import beginning
from uploadmill.backends.storage.reader import ObjectReader


@contextmanager
def opened(objects: AzureObjects, key: str, part: Part) -> Iterator[ObjectReader]:
    """An object, or *part* of it.

    Raises:
        ObjectNotFound: No such object, or no such version.
        ObjectChanged: It is not the one that *part* asks for, or is overwritten all the time.
    """
    answer = beginning(
        objects.store,
        key,
        part,
        lambda: _get(objects, key, part),
        lambda: objects.head(key, part),
    )
    if isinstance(answer, ObjectStat):
        yield ObjectReader(objects.store, answer)
        return
    stat, body = answer
    fetch = translated(objects.store, key)(body.read)
    yield ObjectReader(objects.store, stat, body.size, fetch)


def _get(
    objects: AzureObjects, key: str, part: Part
) -> tuple[ObjectStat, StorageStreamDownloader[bytes]] | None:
    """The beginning of what was asked for; None where there is nothing in that range.

    The requests for the rest ask for the etag of this one, so an object that is overwritten
    meanwhile ends the reading. A start is always said: where there is none, and the object is
    empty, the SDK asks once more for whatever is there by then, and gives its facts to no bytes.
    """
    with objects.asking(key, part) as condition:
        try:
            body = objects.blob(key, part.version).download_blob(
                part.start, part.length, **condition
            )
        except HttpResponseError as error:
            if status_of(error) == HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE:
                return None
            raise
        return objects.found(key, body.properties), body
