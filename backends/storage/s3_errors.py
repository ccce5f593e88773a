"""What boto3 raises, as the errors of the storage contract.

Messages name what happened by the error's class or code only: the text of the originals holds
addresses, and their request may hold more.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from http import HTTPStatus

from botocore.exceptions import (
    BotoCoreError,
    ClientError,
    ConnectionError,  # noqa: A004 (botocore calls it so)
    HTTPClientError,
    IncompleteReadError,
    ResponseStreamingError,
    SSLError,
)
from botocore.parsers import ResponseParserError

from uploadmill.backends.storage.letting_go import let_go
from uploadmill.errors import (
    InvalidKey,
    ObjectChanged,
    ObjectNotFound,
    StorageUnavailable,
    Unsupported,
    UploadmillError,
)

#: The object, or the version of it that was asked for, is not there.
_ABSENT = frozenset({"NoSuchKey", "NoSuchVersion"})

_PRECONDITION = frozenset({"PreconditionFailed", "412"})

#: Another write of the same key was under way.
_CONFLICT = frozenset({"ConditionalRequestConflict", "OperationAborted", "409"})

#: Not the key's fault in S3's eyes, but no other key is treated so.
_BAD_KEY = frozenset({"KeyTooLong", "KeyTooLongError", "InvalidURI"})

#: How servers answer where a version's name is no name, or a delete marker's; a HEAD has no more
#: than the status to say it with.
_NO_VERSION = frozenset({"InvalidArgument", "MethodNotAllowed", "400", "405"})

#: What was asked for is at fault, and any other store would refuse it too.
_REQUEST = {
    "AccessControlListNotSupported": "its bucket has access lists disabled",
    "EntityTooLarge": "the object is too large for it",
    "InvalidArgument": "the server does not take an argument",
    "InvalidObjectState": "the object is archived; have it restored first",
    "InvalidPartOrder": "the parts are out of order",
    "InvalidRequest": "the server does not take the request",
    "MalformedXML": "the server does not understand the request",
    "MetadataTooLarge": "the server does not take so much metadata",
}

#: Why a request was refused that would have been done without an access level.
ACCESS_REFUSED = (
    "access levels are refused to us: Block Public Access is on, or s3:PutObjectAcl or "
    "s3:GetObjectAcl is not allowed"
)

#: Passing, whatever their status: S3 answers some of these with 400, 403 or inside a 200.
_PASSING = frozenset(
    {
        "BadDigest",
        "IncompleteBody",
        "InternalError",
        "InvalidPart",
        "NoSuchUpload",
        "RequestTimeTooSkewed",
        "RequestTimeout",
        "ServiceUnavailable",
        "SlowDown",
        "Throttling",
        "ThrottlingException",
        "XAmzContentChecksumMismatch",
        "XAmzContentSHA256Mismatch",
    }
)

#: Of the server's own failures, those that do not pass by themselves: a full disk is one.
_LASTING = (HTTPStatus.NOT_IMPLEMENTED, HTTPStatus.INSUFFICIENT_STORAGE)

#: The network's errors; all but a refused certificate may pass.
_NETWORK = (
    ConnectionError,
    HTTPClientError,
    IncompleteReadError,
    ResponseParserError,
    ResponseStreamingError,
    OSError,
)


@contextmanager
def translated(store: str, key: str = "") -> Iterator[None]:
    """Let no error of boto3 out of the calls inside; wrap nothing else in it."""
    handled = sys.exception()
    try:
        yield
    except (BotoCoreError, ClientError, ResponseParserError, OSError) as error:
        let_go(error, handled)
        raise meaning(store, key, error) from error


def meaning(store: str, key: str, error: Exception) -> UploadmillError:
    """What an error of boto3 says about the store or the object."""
    if isinstance(error, ClientError):
        return _answer(store, key, error)
    passing = isinstance(error, _NETWORK) and not isinstance(error, SSLError)
    return StorageUnavailable(store, type(error).__name__, retry_here=passing)


def code_of(error: ClientError) -> str:
    """S3's name of the error; the status where it gave none."""
    return str(error.response.get("Error", {}).get("Code", "")) or str(status_of(error))


def status_of(error: ClientError) -> int:
    """The HTTP status of the answer."""
    return int(error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0))


def is_absent(error: ClientError) -> bool:
    """Whether the answer is a plain *not found*."""
    return status_of(error) == HTTPStatus.NOT_FOUND


def is_forbidden(error: ClientError) -> bool:
    """Whether the answer is that we may not do this."""
    return status_of(error) == HTTPStatus.FORBIDDEN


def is_no_version(error: ClientError) -> bool:
    """Whether a request for a version was answered that this is none."""
    return code_of(error) in _NO_VERSION


def is_precondition(error: ClientError) -> bool:
    """Whether a condition of the request did not hold."""
    return code_of(error) in _PRECONDITION


def is_conflict(error: ClientError) -> bool:
    """Whether another write of the key got in the way, so that nothing is decided."""
    return code_of(error) in _CONFLICT


def _answer(store: str, key: str, error: ClientError) -> UploadmillError:
    """What an answer of the server means."""
    code = code_of(error)
    if code in _ABSENT:
        return ObjectNotFound(store, key)
    if code in _PRECONDITION:
        return ObjectChanged(store, key)
    if code in _BAD_KEY:
        return InvalidKey(store, key, "the server does not take it")
    if code in _REQUEST:
        return Unsupported(store, key, f"{_REQUEST[code]} ({code})")
    status = status_of(error)
    passing = (
        code in _PASSING
        or code in _CONFLICT
        or status in (HTTPStatus.REQUEST_TIMEOUT, HTTPStatus.TOO_MANY_REQUESTS)
        or (status >= HTTPStatus.INTERNAL_SERVER_ERROR and status not in _LASTING)
    )
    return StorageUnavailable(store, f"the server answered {code}", retry_here=passing)
