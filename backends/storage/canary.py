"""Use a store a little while nobody needs it, so that it is known to work when somebody does."""

from __future__ import annotations

import secrets
from contextlib import suppress

from uploadmill.backends.storage.base import Storage
from uploadmill.errors import IntegrityError, UploadmillError

#: The folder in which canaries live, beside those of the jobs: no job id is called so.
FOLDER = "uploadmill-canary"

#: Bytes of one; a request costs the same for one as for none.
SIZE = 1024


def exercise(store: Storage, key: str) -> None:
    """Put a small object, read it back, verify it, delete it.

    Args:
        store: That is to be exercised.
        key: Nobody else's.

    Raises:
        StorageUnavailable: The store gives no answer, or refuses.
        StorageError: It gives a wrong one.
    """
    written = secrets.token_bytes(SIZE)
    try:
        store.put(key, written)
        if store.read(key, SIZE, verify=True) != written:
            raise IntegrityError(store.name, key, "other bytes came back than were put")
    except UploadmillError:
        with suppress(UploadmillError):
            store.delete(key)
        raise
    store.delete(key)
