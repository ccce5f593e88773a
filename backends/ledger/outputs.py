"""Read what a job stored: where its record says, else where it is."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from typing import TypeVar

from uploadmill.backends.ledger import heal_queue
from uploadmill.backends.ledger.settle import Settler
from uploadmill.backends.storage.base import Storage
from uploadmill.backends.storage.reader import Reader
from uploadmill.errors import LedgerUnavailable, ObjectNotFound, StorageUnavailable
from uploadmill.job import JobResult, OutputFile, Placement

log = logging.getLogger("uploadmill.outputs")

T = TypeVar("T")


@contextmanager
def open_output(
    settler: Settler,
    result: JobResult,
    name: str,
    *,
    start: int = 0,
    length: int | None = None,
    verify: bool = False,
) -> Iterator[Reader]:
    """Open an output of an ended job, as :meth:`Storage.open` does.

    Args:
        settler: The stores and the ledger.
        result: As it was read just now.
        name: Of the output.
        start: First byte.
        length: Bytes; None: to the end.
        verify: Compare the bytes with the sha256 that they were put with, of the whole only.

    Raises:
        ObjectNotFound: The job has no such output, or neither store has it any more.
        StorageUnavailable: A store that may have it gives no answer.
    """
    output = _named(result, name)
    with ExitStack() as stack:

        def enter(store: Storage) -> Reader:
            opened = store.open(output.key, start=start, length=length, verify=verify)
            return stack.enter_context(opened)

        yield _from_either(settler, result.job_id, output, enter)


def _named(result: JobResult, name: str) -> OutputFile:
    output = result.outputs.get(name)
    if output is None or output.store is None:
        there_are = ", ".join(sorted(result.outputs)) or "none"
        why = f"no output of this {result.state.value} job; there are: {there_are}"
        raise ObjectNotFound("outputs", f"{result.job_id}/{name}", why)
    return output


def _from_either(
    settler: Settler, job_id: str, output: OutputFile, ask: Callable[[Storage], T]
) -> T:
    """What the store says that the record names, or else the other one."""
    recorded = Placement(output.store or "")
    other = Placement.SECONDARY if recorded is Placement.PRIMARY else Placement.PRIMARY
    try:
        return ask(settler.stores.at(recorded))
    except (ObjectNotFound, StorageUnavailable) as first:
        try:
            answer = ask(settler.stores.at(other))
        except (ObjectNotFound, StorageUnavailable) as second:
            # "Not there" is said only once both have answered.
            raise (first if isinstance(first, StorageUnavailable) else second) from None
    _note(settler, job_id, other)
    return answer


def _note(settler: Settler, job_id: str, found_at: Placement) -> None:
    """Have somebody look whether the record is wrong, or only its store out."""
    log.warning("output_found_elsewhere", extra={"job": job_id, "store": found_at.value})
    with suppress(LedgerUnavailable):
        heal_queue.put(settler.ledger, [job_id], 0, only="new")
