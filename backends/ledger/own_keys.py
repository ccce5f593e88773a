"""The keys that uploadmill itself writes, by the role of the store; every other key is not ours.

A store may be shared with a web app, and nothing of that may ever be collected: so it is the form
of the whole key that tells, never what it starts with.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator

from uploadmill.backends.storage.base import Storage
from uploadmill.backends.storage.roles import Stores
from uploadmill.ids import is_job_id, is_nonce
from uploadmill.wire import ENVELOPES, OUTCOMES, UPLOADS

#: Says of a key whose it is: a job's id, or None for what is not ours.
Form = Callable[[str], str | None]

#: What ``commit`` calls an output; beside it only ``result.json`` is put.
_OUTPUT = re.compile(r"[a-z][a-z0-9_-]{0,62}-[0-9a-f]{32}\.[a-z0-9]+")

_SHA256 = re.compile(r"[0-9a-f]{64}")


def staged_of(key: str) -> str | None:
    """Whose staged bytes these are; None for what a web app keeps under ``uploads/`` itself."""
    job_id, _, nonce = key.removeprefix(UPLOADS).partition("/")
    ours = key.startswith(UPLOADS) and is_job_id(job_id) and is_nonce(nonce)
    return job_id if ours else None


def document_of(folder: str, key: str) -> str | None:
    """Whose document in *folder* this is, an envelope or an outcome."""
    job_id = key.removeprefix(folder).removesuffix(".json")
    return job_id if is_job_id(job_id) and key == f"{folder}{job_id}.json" else None


def output_of(stores: Stores, key: str) -> str | None:
    """Whose output, or ``result.json``, this is in an output store."""
    job_id, _, name = key.removeprefix(stores.prefix).partition("/")
    named = name == "result.json" or _OUTPUT.fullmatch(name) is not None
    ours = named and is_job_id(job_id) and key == stores.output_key(job_id, name)
    return job_id if ours else None


def quarantined_of(key: str) -> str | None:
    """Whose copy in quarantine this is."""
    job_id, _, sha256 = key.partition("/")
    return job_id if is_job_id(job_id) and _SHA256.fullmatch(sha256) else None


def forms(stores: Stores) -> Iterator[tuple[Storage, str, Form]]:
    """Each store, what all of our keys there start with, and what tells them from others'."""

    def in_staging(key: str) -> str | None:
        return staged_of(key) or document_of(ENVELOPES, key) or document_of(OUTCOMES, key)

    def in_output(key: str) -> str | None:
        return output_of(stores, key)

    yield stores.staging, "", in_staging
    yield stores.primary, stores.prefix, in_output
    yield stores.secondary, stores.prefix, in_output
    yield stores.quarantine, "", quarantined_of
