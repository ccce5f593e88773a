"""Google's clients for one bucket: made on first use, per process, with bounded patience."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote, urlsplit

import google.auth
from google.api_core.exceptions import Forbidden
from google.auth.credentials import AnonymousCredentials, Credentials
from google.auth.exceptions import DefaultCredentialsError
from google.auth.transport.requests import AuthorizedSession, Request
from google.cloud import storage
from google.oauth2 import service_account
from requests import Session
from requests.adapters import HTTPAdapter

from uploadmill.backends.storage.features import Feature
from uploadmill.backends.storage.per_process import PerProcess
from uploadmill.backends.storage.timeouts import READ_TIMEOUT, Silence, timeouts

#: Where Google itself is.
GOOGLE = "https://storage.googleapis.com"

#: Connections kept; more threads than this wait for nothing, they only reconnect.
_POOL = 16

#: What a token may be used for: objects and their access, not the project.
_SCOPES = ("https://www.googleapis.com/auth/devstorage.full_control",)


@dataclass(frozen=True, slots=True)
class GoogleAccess:
    """Where Google, or an emulator, is, and how to get in.

    Attributes:
        endpoint_url: None is Google.
        project_id: None is the one that the credentials name.
        credentials_path: Of a service account's key file; None is the provider's own chain.
        read_timeout: Seconds to wait for the next bytes in.
    """

    endpoint_url: str | None = None
    project_id: str | None = None
    credentials_path: str | None = None
    read_timeout: float = READ_TIMEOUT

    @property
    def anonymous(self) -> bool:
        """Whether nobody signs in: strangers, such as an emulator, get no token of the chain."""
        host = urlsplit(self.endpoint_url or GOOGLE).hostname or ""
        return self.credentials_path is None and not host.endswith(".googleapis.com")

    @property
    def endpoint(self) -> str:
        """The address without a slash at its end."""
        return (self.endpoint_url or GOOGLE).rstrip("/")

    def timeouts(self, silence: Silence) -> tuple[float, float]:
        """How long a call may take, as ``requests`` takes it."""
        return timeouts(silence, self.read_timeout)

    def credentials(self) -> Credentials:
        """Those of the file, or of the provider's chain; may ask Google's metadata server."""
        if self.anonymous:
            return AnonymousCredentials()
        if self.credentials_path is not None:
            return _of_file(self.credentials_path)
        return google.auth.default(scopes=_SCOPES)[0]


def _of_file(path: str) -> Credentials:
    try:
        return service_account.Credentials.from_service_account_file(path, scopes=_SCOPES)  # type: ignore[no-any-return]
    except (OSError, ValueError) as error:
        raise DefaultCredentialsError(type(error).__name__) from error


class GoogleConnection:
    """One process's client, and its session for what goes or comes as a stream.

    Both use the same connections. A token is fetched with the patience of the call that needs
    it; google-auth's own session would try each connection four times.

    Args:
        access: Where to, and as whom.
        bucket: Its name.
    """

    def __init__(self, access: GoogleAccess, bucket: str) -> None:
        self.credentials = access.credentials()
        self._tokens = Session()
        self.session = AuthorizedSession(self.credentials, auth_request=Request(self._tokens))
        self.session.mount("https://", HTTPAdapter(pool_maxsize=_POOL))
        self.session.mount("http://", HTTPAdapter(pool_maxsize=_POOL))
        self.client = storage.Client(
            project=access.project_id,
            credentials=self.credentials,
            _http=self.session,
            # Always said, so that no variable of the environment leads the client elsewhere.
            client_options={"api_endpoint": access.endpoint},
        )
        # For traces that nobody has switched on, the client would ask for the bucket's place in a
        # thread of its own, again and again while the store is down.
        self.client._bucket_metadata_cache = None  # noqa: SLF001 (there is no option, but for all)
        self.bucket = self.client.bucket(bucket)
        self.lacks: Mapping[Feature, str] | None = None

    def close(self) -> None:
        """Give back the connections."""
        self.session.close()
        self._tokens.close()


class GoogleBucket:
    """A bucket and this process's connection to it.

    Args:
        name: Of the bucket.
        access: Where it is, and how to get in.
    """

    def __init__(self, name: str, access: GoogleAccess) -> None:
        self.name = name
        self.access = access
        self._connections = PerProcess(
            lambda: GoogleConnection(access, name), GoogleConnection.close
        )

    @property
    def connection(self) -> GoogleConnection:
        """This process's; made when there is none."""
        return self._connections.get()

    @property
    def objects(self) -> str:
        """The path of the bucket's objects in the JSON API, without the host."""
        return f"/storage/v1/b/{quote(self.name, safe='')}/o"

    def how(self, silence: Silence = "usual") -> dict[str, Any]:
        """Arguments of every call of the client: callers have their own attempts."""
        return {"timeout": self.access.timeouts(silence), "retry": None}

    def lacks(self) -> Mapping[Feature, str]:
        """What this bucket does not have, and why; asked once per process.

        An account that may not look at the bucket itself works without versions.
        """
        connection = self.connection
        if connection.lacks is None:
            connection.lacks = self._look(connection)
        return connection.lacks

    def close(self) -> None:
        """Give back this process's connections; the next call opens new ones."""
        self._connections.close()

    def _look(self, connection: GoogleConnection) -> dict[Feature, str]:
        bucket = connection.bucket
        try:
            bucket.reload(**self.how())
        except Forbidden:
            return {Feature.VERSIONS: "the account lacks the permission storage.buckets.get"}
        lacks: dict[Feature, str] = {}
        if not bucket.versioning_enabled:
            lacks[Feature.VERSIONS] = "object versioning is off in this bucket"
        if bucket.iam_configuration.uniform_bucket_level_access_enabled:
            lacks[Feature.ACCESS_LEVELS] = "the bucket has uniform bucket-level access"
        return lacks
