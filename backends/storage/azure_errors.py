"""What azure-storage-blob raises, as the errors of the storage contract.

Messages name what happened by the service's code or the error's class only: the text of the
originals holds addresses, and their request may hold more.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from http import HTTPStatus

from azure.core.exceptions import (
    AzureError,
    ClientAuthenticationError,
    DecodeError,
    HttpResponseError,
    ServiceRequestError,
    ServiceResponseError,
)
from requests.exceptions import SSLError

from uploadmill.backends.storage.letting_go import let_go
from uploadmill.errors import (
    InvalidKey,
    ObjectChanged,
    ObjectExists,
    ObjectNotFound,
    StorageError,
    StorageUnavailable,
    Unsupported,
    UploadmillError,
)

#: Definite answers about one object.
_ABOUT_THE_OBJECT: Mapping[str, type[StorageError]] = {
    "BlobAlreadyExists": ObjectExists,
    "BlobNotFound": ObjectNotFound,
    "BlobOverwritten": ObjectChanged,
    "ConditionNotMet": ObjectChanged,
    "SourceConditionNotMet": ObjectChanged,
    "TargetConditionNotMet": ObjectChanged,
    "InvalidResourceName": InvalidKey,
    "InvalidUri": InvalidKey,
    "RequestUrlFailedToParse": InvalidKey,
}

#: Passing, whatever their status. The blocks of an upload are gone (``InvalidBlockList``) when
#: another write of the same key came first.
_PASSING = frozenset(
    {
        "CannotVerifyCopySource",
        "InternalError",
        "InvalidBlockList",
        "Md5Mismatch",
        "OperationTimedOut",
        "PendingCopyOperation",
        "ServerBusy",
    }
)

_PASSING_STATUSES = (HTTPStatus.REQUEST_TIMEOUT, HTTPStatus.TOO_MANY_REQUESTS)

#: Nobody gets in, whatever their status. Blocks with ids of another length, left by another
#: program (``InvalidBlobOrBlock``), block a key for a week.
_REFUSED = frozenset(
    {
        "ContainerBeingDeleted",
        "ContainerDisabled",
        "InvalidAuthenticationInfo",
        "InvalidBlobOrBlock",
    }
)

#: Nobody said anything; where a sign-in is refused because of that, its error says so.
_UNANSWERED = (ServiceRequestError, ServiceResponseError)

_REFUSED_STATUSES = (HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN, HTTPStatus.NOT_FOUND)


@contextmanager
def translated(store: str, key: str = "") -> Iterator[None]:
    """Let no error of the SDK out of the calls inside; wrap nothing else in it.

    A ``ValueError`` is one too: of an answer that makes no sense.
    """
    handled = sys.exception()
    try:
        yield
    except (AzureError, OSError, ValueError) as error:
        let_go(error, handled)
        raise meaning(store, key, error) from error


def meaning(store: str, key: str, error: Exception) -> UploadmillError:
    """What an error of the SDK says about the store or the object."""
    if isinstance(error, HttpResponseError) and _has_answer(error):
        return refusal(store, key, code_of(error), status_of(error))
    if isinstance(error, ClientAuthenticationError) and isinstance(error.__cause__, _UNANSWERED):
        return meaning(store, key, error.__cause__)
    cause = getattr(error, "inner_exception", None) or error
    lasting = isinstance(error, ClientAuthenticationError) or isinstance(cause, SSLError)
    return StorageUnavailable(store, type(cause).__name__, retry_here=not lasting)


def _has_answer(error: HttpResponseError) -> bool:
    """Whether the service has said what is wrong; an unreadable body says nothing."""
    return error.response is not None and not isinstance(error, DecodeError)


def refusal(store: str, key: str, code: str, status: int) -> UploadmillError:
    """What a refusal by the service means, by its code and its HTTP status."""
    if code in _ABOUT_THE_OBJECT:
        return _ABOUT_THE_OBJECT[code](store, key)
    said = f"the server answered {code or status}"
    if code in _PASSING or status in _PASSING_STATUSES or _is_passing_fault(status):
        return StorageUnavailable(store, said)
    if _is_refusal(code, status):
        return StorageUnavailable(store, said, retry_here=False)
    return Unsupported(store, key, said)


def _is_passing_fault(status: int) -> bool:
    """Whether the server is at fault for now; some faults are for ever."""
    return status >= HTTPStatus.INTERNAL_SERVER_ERROR and status != HTTPStatus.NOT_IMPLEMENTED


def _is_refusal(code: str, status: int) -> bool:
    """Whether everybody would be refused; anything else is the request's own fault."""
    return (
        code in _REFUSED
        or status in _REFUSED_STATUSES
        or not HTTPStatus.BAD_REQUEST <= status < HTTPStatus.INTERNAL_SERVER_ERROR
    )


def code_of(error: HttpResponseError) -> str:
    """The service's name of the error; empty where it gave none."""
    code = getattr(error, "error_code", None)
    return str(getattr(code, "value", code) or "")


def status_of(error: HttpResponseError) -> int:
    """The HTTP status of the answer."""
    return int(error.status_code or 0)
