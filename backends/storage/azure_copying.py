"""Copy inside a container, at any size: Azure itself reads the source, under a signed address."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta

from azure.core import MatchConditions

from uploadmill.backends.storage.azure_answers import headers, quoted
from uploadmill.backends.storage.azure_objects import AzureObjects
from uploadmill.backends.storage.azure_signing import AzureSigner
from uploadmill.backends.storage.azure_upload import BlockUpload
from uploadmill.backends.storage.facts import facts_of
from uploadmill.backends.storage.objects import ObjectStat

#: For how long a copy's source may be read; each request gets an address of its own.
_LASTS = timedelta(hours=1)


@dataclass(frozen=True, slots=True)
class AzureCopier:
    """Has the service copy.

    Attributes:
        objects: Of the store.
        signer: Of addresses.
        limit: Bytes of the largest object copied in one request.
        block_size: Bytes of a block of a larger one.
    """

    objects: AzureObjects
    signer: AzureSigner
    limit: int
    block_size: int

    def copy(
        self, source: ObjectStat, target: str, *, create_only: bool, version: str | None = None
    ) -> None:
        """Copy just this state of *source*, with all its facts.

        Args:
            source: As it was found.
            target: Its key.
            create_only: Whether *target* must be free.
            version: Which version of *source* that is; None: the newest.
        """
        copy = self._by_blocks if source.size > self.limit else self._at_once
        copy(source, version, target, create_only=create_only)

    def _at_once(
        self, source: ObjectStat, version: str | None, target: str, *, create_only: bool
    ) -> None:
        objects = self.objects
        with objects.deciding(target, source.key, create_only=create_only) as condition:
            objects.blob(target).start_copy_from_url(
                self._readable(source.key, version),
                requires_sync=True,
                source_etag=quoted(source.etag),
                source_match_condition=MatchConditions.IfNotModified,
                **condition,
                **objects.container.patient,
            )

    def _by_blocks(
        self, source: ObjectStat, version: str | None, target: str, *, create_only: bool
    ) -> None:
        """Copy what is too large for one request."""
        objects = self.objects
        upload = BlockUpload(lambda: objects.blob(target), objects.container.patient)
        for start in range(0, source.size, self.block_size):
            size = min(self.block_size, source.size - start)
            with objects.reading(source.key):
                upload.add_copy(self._readable(source.key, version), source, start, size)
        with objects.deciding(target, create_only=create_only) as condition:
            upload.commit({**headers(facts_of(source)), **condition})

    def _readable(self, key: str, version: str | None) -> str:
        """Where Azure itself may read a copy's source."""
        return self.signer.address(self.objects.name(key), _LASTS, version=version)
