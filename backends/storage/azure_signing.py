"""Signed addresses of blobs: by the account's key, or by a key that the service lends us."""

from __future__ import annotations

import threading
from datetime import UTC, datetime, timedelta
from urllib.parse import quote

from azure.storage.blob import BlobSasPermissions, UserDelegationKey, generate_blob_sas

from uploadmill.backends.storage.azure_client import AzureContainer
from uploadmill.backends.storage.per_process import PerProcess

#: For how long the service lends a key at most; no address signed with it lasts longer.
LONGEST_LOAN = timedelta(days=7)

#: For how long we borrow one, so that few are asked for.
_LOAN = timedelta(days=1)

#: Clocks may differ by this much.
_SKEW = timedelta(minutes=5)


class AzureSigner:
    """Signs addresses from which one blob can be read.

    Args:
        container: Of the blobs.
    """

    def __init__(self, container: AzureContainer) -> None:
        self._container = container
        self._loans = PerProcess(lambda: _Loan(container), lambda _loan: None)

    def address(
        self, name: str, lasts: timedelta, *, version: str | None = None, shown: str | None = None
    ) -> str:
        """Where everybody can read a blob for a while.

        Args:
            name: Of the blob.
            lasts: From now on; without an account key, :data:`LONGEST_LOAN` at most.
            version: Which of its versions; None: the newest.
            shown: The content disposition it is served with; None: its own.
        """
        access = self._container.access
        expiry = datetime.now(UTC) + lasts
        blob = self._container.blob(name)
        signature = generate_blob_sas(
            access.account,
            self._container.name,
            name,
            account_key=access.key,
            user_delegation_key=None if access.key else self._loans.get().key(expiry),
            version_id=version,
            permission=BlobSasPermissions(read=True),
            expiry=expiry,
            content_disposition=shown,
            protocol="https" if access.account_url.startswith("https:") else None,
        )
        which = f"versionid={quote(version)}&" if version else ""
        return f"{blob.url}?{which}{signature}"


class _Loan:
    """The key that the service has lent to this process."""

    def __init__(self, container: AzureContainer) -> None:
        self._container = container
        self._lock = threading.Lock()
        self._lent: tuple[UserDelegationKey, datetime] | None = None

    def key(self, until: datetime) -> UserDelegationKey:
        """A key that is good until then; a new one where the old one is not."""
        with self._lock:
            if self._lent is None or self._lent[1] < until:
                self._lent = self._borrow(until)
            return self._lent[0]

    def _borrow(self, until: datetime) -> tuple[UserDelegationKey, datetime]:
        now = datetime.now(UTC)
        expiry = min(max(until, now + _LOAN), now + LONGEST_LOAN)
        service = self._container.service
        return service.get_user_delegation_key(now - _SKEW, expiry), expiry
