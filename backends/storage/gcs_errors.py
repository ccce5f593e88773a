"""What Google's client raises, as the errors of the storage contract.

Messages name what happened by the error's class, status or reason only: the text of the
originals holds addresses, and an upload's address is as good as a credential.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from http import HTTPStatus
from typing import Any

from google.api_core.exceptions import GoogleAPICallError, from_http_status
from google.auth.exceptions import DefaultCredentialsError, GoogleAuthError, TransportError
from requests import Response
from requests.exceptions import InvalidURL, RequestException, SSLError
from urllib3.exceptions import HTTPError
from urllib3.exceptions import SSLError as BareSSLError

from uploadmill.backends.storage.letting_go import let_go
from uploadmill.errors import (
    ObjectChanged,
    SizeLimitExceeded,
    StorageUnavailable,
    Unsupported,
    UploadmillError,
)

#: Bytes of the largest object that Google takes: 5 TiB.
MAX_OBJECT = 5 << 40

#: The server asks for patience, whatever the status.
_PASSING_REASONS = frozenset({"rateLimitExceeded", "userRateLimitExceeded", "backendError"})

#: The request is not at fault, though Google answers 400: nobody else's bucket has this.
_REFUSING_REASONS = frozenset({"userProjectMissing", "userProjectInconsistent", "authError"})

#: Passing, beside those of 500 and more. 409: another request for the same object; 410: an
#: upload that Google has forgotten.
_PASSING = frozenset(
    {
        HTTPStatus.REQUEST_TIMEOUT,
        HTTPStatus.CONFLICT,
        HTTPStatus.GONE,
        HTTPStatus.TOO_MANY_REQUESTS,
    }
)

#: The store refuses everybody, or is not there.
_REFUSING = frozenset(
    {
        HTTPStatus.UNAUTHORIZED,
        HTTPStatus.PAYMENT_REQUIRED,
        HTTPStatus.FORBIDDEN,
        HTTPStatus.NOT_FOUND,
    }
)


_NO_CREDENTIALS = (
    "no usable Google credentials; set credentials_path, or Application Default Credentials"
)


@contextmanager
def translated(store: str, key: str = "") -> Iterator[None]:
    """Let no error of Google's client out of the calls inside; wrap nothing else in it."""
    handled = sys.exception()
    try:
        yield
    except (GoogleAPICallError, GoogleAuthError, RequestException, HTTPError, OSError) as error:
        let_go(error, handled)
        raise meaning(store, key, error) from error


def meaning(store: str, key: str, error: Exception) -> UploadmillError:
    """What an error says about the store or the object.

    An object that is not there is not recognised here: Google answers the same where the bucket
    is not there, so whoever asked has to look.
    """
    if isinstance(error, GoogleAPICallError):
        return _answer(store, key, error)
    if isinstance(error, DefaultCredentialsError):
        return StorageUnavailable(store, _NO_CREDENTIALS, retry_here=False)
    return StorageUnavailable(store, type(error).__name__, retry_here=_passes(error))


def answered(response: Response) -> GoogleAPICallError:
    """An answer that is no success, as the client would raise it, but without the address."""
    try:
        problem: Any = response.json()["error"]
        text, errors = str(problem["message"]), list(problem.get("errors", ()))
    except (ValueError, LookupError, TypeError, AttributeError):
        text, errors = "no explanation", []
    return from_http_status(response.status_code, text, errors=errors, response=response)  # type: ignore[no-any-return]


def reason_of(error: GoogleAPICallError) -> str:
    """Google's word for what is wrong; empty where there is none."""
    first = next(iter(error.errors or ()), None)
    return str(first.get("reason", "")) if isinstance(first, dict) else ""


def says_no_such_object(error: GoogleAPICallError) -> bool:
    """Whether a 404 is certainly about the object, and not about the bucket."""
    return "No such object:" in (error.message or "")


def refuses_access(error: GoogleAPICallError) -> bool:
    """Whether the bucket does not take the access that was asked for, whatever the status."""
    text = (error.message or "").lower()
    return "public access prevention" in text or "uniform bucket-level access" in text


def _passes(error: Exception) -> bool:
    """Whether an error of the network, or of the way to a token, may be gone in seconds."""
    if isinstance(error, TransportError):
        return not isinstance(error.__cause__, SSLError)
    if isinstance(error, GoogleAuthError):
        return bool(error.retryable)
    if isinstance(error, (SSLError, BareSSLError, InvalidURL)):
        return False
    return isinstance(error, (RequestException, HTTPError, ConnectionError, TimeoutError))


def _answer(store: str, key: str, error: GoogleAPICallError) -> UploadmillError:
    """What an answer of the server means."""
    status, reason, text = int(error.code or 0), reason_of(error), (error.message or "").lower()
    if refuses_access(error):
        return Unsupported(store, key, "the bucket has no access levels of single objects")
    if status == HTTPStatus.PRECONDITION_FAILED:
        return ObjectChanged(store, key)
    if status == HTTPStatus.REQUEST_ENTITY_TOO_LARGE:
        return SizeLimitExceeded(MAX_OBJECT)
    passing = (
        reason in _PASSING_REASONS
        or status in _PASSING
        or (status >= HTTPStatus.INTERNAL_SERVER_ERROR and status != HTTPStatus.NOT_IMPLEMENTED)
        # The bytes that arrived are not those that were sent.
        or (status == HTTPStatus.BAD_REQUEST and "crc32c" in text)
    )
    said = f"the server answered {status} {reason}".rstrip()
    refusing = reason in _REFUSING_REASONS or status in _REFUSING
    if (
        passing
        or refusing
        or not HTTPStatus.BAD_REQUEST <= status < HTTPStatus.INTERNAL_SERVER_ERROR
    ):
        return StorageUnavailable(store, said, retry_here=passing)
    return Unsupported(store, key, said)
