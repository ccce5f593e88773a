"""boto3 clients of one S3 store: made on first use, per process, with bounded patience."""

from __future__ import annotations

import threading
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Any, Literal, get_args

import boto3
from botocore.config import Config
from botocore.utils import is_valid_endpoint_url

from uploadmill.backends.storage.per_process import PerProcess
from uploadmill.backends.storage.timeouts import READ_TIMEOUT, Silence, timeouts
from uploadmill.store_url import check_endpoint

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

#: Where a bucket's name stands in its addresses.
Addressing = Literal["auto", "path", "virtual"]

#: A client for each, and ``sending`` for bodies that go with their sha256: as long as usual.
ClientKind = Literal[Silence, "sending"]

#: Connections kept; more threads than this wait for nothing, they only reconnect.
_POOL = 16


def check_s3_endpoint(option: str, url: str) -> None:
    """Refuse, as the value of *option*, what is no address of a server, or none for boto3.

    Raises:
        ValueError: Says why, and what to write.
    """
    check_endpoint(option, url)
    if not is_valid_endpoint_url(url):
        raise ValueError(f"boto3 takes no such host as {option}; has it an underscore?")


@dataclass(frozen=True, slots=True)
class S3Access:
    """Where a bucket is, and how to get in.

    Attributes:
        endpoint_url: Of an S3-compatible server; None is AWS.
        region: None is the provider's own chain.
        access_key: None is the provider's own chain (environment, files, role).
        secret_key: The same.
        addressing: ``path``, ``virtual``, or ``auto``.
        read_timeout: Seconds to wait for the next bytes in.
    """

    endpoint_url: str | None = None
    region: str | None = None
    access_key: str | None = field(default=None, repr=False)
    secret_key: str | None = field(default=None, repr=False)
    addressing: Addressing = "auto"
    read_timeout: float = READ_TIMEOUT

    def connect(self, kind: ClientKind) -> S3Client:
        """A new client; nothing is sent yet."""
        silence: Silence = "usual" if kind == "sending" else kind
        connect_timeout, read_timeout = timeouts(silence, self.read_timeout)
        return _new_client(
            endpoint_url=self.endpoint_url,
            region_name=self.region,
            aws_access_key_id=self.access_key,
            aws_secret_access_key=self.secret_key,
            config=Config(
                connect_timeout=connect_timeout,
                read_timeout=read_timeout,
                # Callers have their own attempts; two layers of them would multiply.
                retries={"total_max_attempts": 1, "mode": "standard"},
                max_pool_connections=_POOL,
                tcp_keepalive=True,
                # We send a checksum with every body that matters, chosen by us, and those who
                # read hash for themselves; by default boto3 would compute a second one.
                request_checksum_calculation="when_required",
                response_checksum_validation="when_required",
                # Else addresses are signed in S3's first way, which old regions still take.
                signature_version="s3v4",
                s3=self._manners(kind),
            ),
        )

    def _manners(self, kind: ClientKind) -> Any:
        """How S3 is spoken to.

        Bodies whose sha256 travels in a signed header are not hashed once more to be signed:
        whoever changes them on their way is found out by the server as it is.
        """
        manners: dict[str, Any] = {"addressing_style": self.addressing}
        return manners | ({"payload_signing_enabled": False} if kind == "sending" else {})


class _Session:
    """One process's session of boto3.

    Its clients share the parsed description of S3: a second client costs 0.3 MB and 6 ms instead
    of 12 MB and 80 ms. Making clients is not safe between threads, using them is.
    """

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.session = boto3.session.Session()


#: This process's.
_SESSION = PerProcess(_Session, lambda _session: None)


def _new_client(**options: Any) -> S3Client:
    own = _SESSION.get()
    with own.lock:
        return own.session.client("s3", **options)


class S3Bucket:
    """A bucket and this process's clients for it.

    Args:
        name: Of the bucket.
        access: Makes the clients.
    """

    def __init__(self, name: str, access: S3Access) -> None:
        self.name = name
        self._clients: dict[ClientKind, PerProcess[S3Client]] = {
            kind: PerProcess(partial(access.connect, kind), lambda client: client.close())
            for kind in get_args(ClientKind)
        }

    @property
    def client(self) -> S3Client:
        """The client with ordinary patience."""
        return self._clients["usual"].get()

    @property
    def sender(self) -> S3Client:
        """The client for bodies that go with their sha256, and for nothing else."""
        return self._clients["sending"].get()

    @property
    def brisk(self) -> S3Client:
        """The client with little patience."""
        return self._clients["brisk"].get()

    @property
    def patient(self) -> S3Client:
        """The client for calls that take their time."""
        return self._clients["long"].get()

    def close(self) -> None:
        """Give back this process's connections; the next call opens new ones."""
        for clients in self._clients.values():
            clients.close()
