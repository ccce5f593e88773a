"""The Azure client of one container: made on first use, per process, with bounded patience."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import Any

from azure.core.credentials import AzureNamedKeyCredential, TokenCredential
from azure.storage.blob import BlobClient, BlobServiceClient, ContainerClient

from uploadmill.backends.storage.azure_access import AzureAccess
from uploadmill.backends.storage.azure_transport import PieceTransport
from uploadmill.backends.storage.per_process import PerProcess
from uploadmill.backends.storage.timeouts import Silence, timeouts

#: Where the SDK tells of each request, in ten lines and with its address: for those who ask.
_LOG = logging.getLogger("uploadmill.azure")
_LOG.setLevel(logging.WARNING)

#: Bytes fetched by one request; each is held in memory until it has been read.
READ_SIZE = 4 << 20


@dataclass(frozen=True, slots=True)
class _Clients:
    service: BlobServiceClient
    container: ContainerClient
    credential: AzureNamedKeyCredential | TokenCredential

    def close(self) -> None:
        self.service.close()
        closing = getattr(self.credential, "close", None)
        if closing is not None:
            closing()


class AzureContainer:
    """A container and this process's client for it.

    Args:
        name: Of the container.
        access: Where it is, and how to get in.
        put_size: Bytes of the largest object sent in one request.
        read_size: Bytes fetched in one request.
    """

    def __init__(self, name: str, access: AzureAccess, put_size: int, read_size: int) -> None:
        self.name = name
        self.access = access
        self._put_size = put_size
        self._read_size = read_size
        self._clients = PerProcess(self._connect, _Clients.close)

    @property
    def client(self) -> ContainerClient:
        """The container's client."""
        return self._clients.get().container

    @property
    def service(self) -> BlobServiceClient:
        """The account's client."""
        return self._clients.get().service

    def blob(self, name: str, version: str | None = None) -> BlobClient:
        """The client of one blob; it shares the container's connections."""
        return self.client.get_blob_client(name, version_id=version)

    @property
    def brisk(self) -> dict[str, Any]:
        """What to pass to a call that should answer at once."""
        return _limits("brisk", self.access)

    @property
    def patient(self) -> dict[str, Any]:
        """What to pass to a call that takes its time."""
        return _limits("long", self.access)

    def close(self) -> None:
        """Give back this process's connections; the next call opens new ones."""
        self._clients.close()

    def _connect(self) -> _Clients:
        """New clients; nothing is sent yet."""
        credential = _credential(self.access)
        service = BlobServiceClient(
            self.access.account_url,
            credential=credential,
            logger=_LOG,
            # Callers have their own attempts; two layers of them would multiply.
            retry_total=0,
            transport=PieceTransport(**_limits("usual", self.access)),
            max_single_put_size=self._put_size,
            max_single_get_size=self._read_size,
            max_chunk_get_size=self._read_size,
        )
        return _Clients(service, service.get_container_client(self.name), credential)


def _credential(access: AzureAccess) -> AzureNamedKeyCredential | TokenCredential:
    """The account key, or else whatever the provider's own chain finds."""
    if access.key is not None:
        return AzureNamedKeyCredential(access.account, access.key)
    from azure.identity import DefaultAzureCredential  # noqa: PLC0415 (a third of a second)

    return DefaultAzureCredential(
        # Nor does it try again: by default each of the chain would, four times.
        retry_total=0,
        **_limits("usual", access),
    )


def _limits(silence: Silence, access: AzureAccess) -> dict[str, Any]:
    """How long a call may take, as the SDK takes it."""
    connect, read = timeouts(silence, access.read_timeout)
    return {"connection_timeout": connect, "read_timeout": read}
