"""The four stores: each takes an object, gives it back, and refuses to create it twice."""

from __future__ import annotations

import secrets
import time
from collections.abc import Iterator

from uploadmill.backends.storage.base import Storage
from uploadmill.backends.storage.opening import storage_from
from uploadmill.errors import (
    InvalidSettings,
    ObjectExists,
    ObjectNotFound,
    StorageError,
    StorageUnavailable,
    UploadmillError,
)
from uploadmill.ids import new_job_id
from uploadmill.settings import Settings
from uploadmill.settings_stores import StoreSettings
from uploadmill.wire import UPLOADS
from uploadmill.worker.checks.finding import Finding, fault, good

#: What breaks while the store of a role is out.
ROLES = {
    "staging": "no upload is accepted and no job can end",
    "primary": "every output goes to the secondary",
    "secondary": "when the primary is out, jobs wait",
    "quarantine": "jobs with infected files wait",
}


def check_stores(settings: Settings) -> Iterator[Finding]:
    """Every role's store makes the round trip."""
    for role, why in ROLES.items():
        yield _check_store(settings, role, why)


def _check_store(settings: Settings, role: str, why: str) -> Finding:
    check = f"{role} store"
    store: StoreSettings = getattr(settings, role)
    began = time.monotonic()
    try:
        problem = _round_trip(storage_from(store, role), _key(settings, role))
    except InvalidSettings as error:
        return fault(check, str(error), why, f"correct {role}.url and its options")
    except StorageUnavailable as error:
        return fault(check, f"{store.url}: {error.reason}", why, _remedy(store.url, role))
    except UploadmillError as error:
        return fault(check, f"{store.url}: {error}", why, _remedy(store.url, role))
    if problem:
        how = "use a store that passes `uploadmill storage check`"
        return fault(check, f"{store.url}: {problem}", "jobs could end twice, or wrongly", how)
    ms = (time.monotonic() - began) * 1000
    return good(check, f"{store.url}: written, read, created once, deleted, {ms:.0f} ms")


def _key(settings: Settings, role: str) -> str:
    """A key such as jobs have there: credentials may be good for those alone."""
    prefix = {"staging": UPLOADS, "quarantine": ""}.get(role, settings.prefix.strip("/") + "/")
    return f"{prefix}{new_job_id()}/check".lstrip("/")


def _round_trip(storage: Storage, key: str) -> str | None:
    """Use *storage* as jobs do; what it did wrong is returned.

    Raises:
        StorageUnavailable: It cannot be used.
    """
    written = secrets.token_bytes(1024)
    try:
        storage.put(key, written, create_only=True)
        return _created_twice(storage, key) or _read_back(storage, key, written)
    finally:
        storage.delete(key)


def _created_twice(storage: Storage, key: str) -> str | None:
    try:
        storage.put(key, b"a second time", create_only=True)
    except ObjectExists:
        return None
    return "it created an object that was there already (conditional writes do not work)"


def _read_back(storage: Storage, key: str, written: bytes) -> str | None:
    try:
        with storage.open(key) as reader:
            read = reader.read(len(written) + 1)
    except ObjectNotFound:
        return "what was written is not there"
    except StorageError as error:
        return str(error)
    return None if read == written else "other bytes came back than were written"


def _remedy(url: str, role: str) -> str:
    if url.startswith("file:"):
        return f"make the folder writable for this user, or correct {role}.url"
    return (
        f"make the bucket, or correct {role}.url, endpoint_url, region and credentials; "
        "they need to read, write, list and delete"
    )
