"""Take away the outputs of an ended job that its outcome does not name.

Runs that were killed, fenced or broken off in their commit have put them. An outcome never changes,
so nobody can come to need them, whoever put them and whoever still works on the job.
"""

from __future__ import annotations

import logging

from uploadmill.backends.ledger.own_keys import output_of
from uploadmill.backends.storage.roles import Stores
from uploadmill.job import JobResult, JobState

log = logging.getLogger("uploadmill.leftovers")


def clear(stores: Stores, result: JobResult) -> int:
    """Delete them in both output stores.

    Args:
        stores: Where the job may have put something.
        result: Of its outcome, as it was decided.

    Returns:
        How many there were.

    Raises:
        StorageUnavailable: A store is out; what is in the other one may be gone.
    """
    named, cleared = named_keys(stores, result), 0
    for store in (stores.primary, stores.secondary):
        beside = store.list(stores.output_key(result.job_id, ""))
        left = [
            stat.key for stat in beside if output_of(stores, stat.key) and stat.key not in named
        ]
        if left:
            # Said before it is done: a deletion that nobody can trace back must not happen.
            extra = {"job": result.job_id, "store": store.name, "keys": left}
            log.info("leftovers_cleared", extra=extra)
            store.delete(*left)
        cleared += len(left)
    return cleared


def named_keys(stores: Stores, result: JobResult) -> set[str]:
    """What an outcome names: nothing, unless the job was stored."""
    if result.state is not JobState.STORED:
        return set()
    return {stores.result_key(result.job_id), *(made.key for made in result.outputs.values())}
