"""Whether a store really has what a job's result names."""

from __future__ import annotations

from collections.abc import Callable

from uploadmill.backends.storage.base import Storage
from uploadmill.backends.storage.hashing import HashingReader
from uploadmill.backends.storage.roles import Stores
from uploadmill.backends.storage.sources import Readable
from uploadmill.errors import ObjectNotFound
from uploadmill.job import JobResult, OutputFile

#: Told of a stream before it is read; may give it back slower.
Paced = Callable[[Readable], Readable]


def has(store: Storage, made: OutputFile) -> bool:
    """Whether an output is there, by the facts that the store keeps of it: size and sha256.

    Raises:
        ObjectNotFound: There is nothing under its key.
    """
    stat = store.stat(made.key)
    if stat.sha256 is None:
        return has_bytes(store, made)
    return (stat.size, stat.sha256) == (made.size, made.sha256)


def has_bytes(store: Storage, made: OutputFile, paced: Paced = lambda stream: stream) -> bool:
    """Whether an output is there, by its very bytes.

    Raises:
        ObjectNotFound: There is nothing under its key.
    """
    with store.open(made.key) as reader:
        hashing = HashingReader(paced(reader))
        hashing.drain()
        return (hashing.size, hashing.sha256) == (made.size, made.sha256)


def is_whole(
    stores: Stores, store: Storage, result: JobResult, paced: Paced = lambda stream: stream
) -> bool:
    """Whether *store* has ``result.json`` and every output, each read to its end.

    Read, and not only asked for: who asks is about to delete the only other copy, and what a
    store says of an object's sha256 is what we told it when it was put.
    """
    try:
        store.stat(stores.result_key(result.job_id))
        return all(has_bytes(store, made, paced) for made in result.outputs.values())
    except ObjectNotFound:
        return False
