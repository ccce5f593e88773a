"""What the SDK's errors and the service's refusals mean."""

import pytest
import requests
from azure.core.exceptions import (
    ClientAuthenticationError,
    HttpResponseError,
    IncompleteReadError,
    ServiceRequestError,
    ServiceResponseTimeoutError,
)

from uploadmill.backends.storage.azure_errors import meaning, refusal, translated
from uploadmill.errors import (
    InvalidKey,
    ObjectChanged,
    ObjectExists,
    ObjectNotFound,
    StorageUnavailable,
    Unsupported,
)

SECRET = "https://account.blob.test/c/b?sig=secret"

REFUSALS = [
    ("BlobNotFound", 404, ObjectNotFound),
    ("BlobAlreadyExists", 409, ObjectExists),
    ("ConditionNotMet", 412, ObjectChanged),
    ("SourceConditionNotMet", 412, ObjectChanged),
    ("InvalidUri", 400, InvalidKey),
    ("InvalidResourceName", 400, InvalidKey),
    ("MetadataTooLarge", 400, Unsupported),
    ("RequestBodyTooLarge", 413, Unsupported),
    ("LeaseIdMissing", 412, Unsupported),
    ("BlobArchived", 409, Unsupported),
]

OUTAGES = [
    ("ContainerNotFound", 404, False),
    ("", 404, False),
    ("AuthenticationFailed", 403, False),
    ("AuthorizationPermissionMismatch", 403, False),
    ("NoAuthenticationInformation", 401, False),
    ("InvalidAuthenticationInfo", 400, False),
    ("ContainerBeingDeleted", 409, False),
    ("AccountIsDisabled", 403, False),
    ("NotImplemented", 501, False),
    ("", 302, False),
    ("InternalError", 500, True),
    ("OperationTimedOut", 500, True),
    ("ServerBusy", 503, True),
    ("ServerBusy", 409, True),
    ("", 502, True),
    ("", 408, True),
    ("TooManyRequests", 429, True),
    ("Md5Mismatch", 400, True),
    ("InvalidBlockList", 400, True),
    ("CannotVerifyCopySource", 403, True),
]


@pytest.mark.parametrize(("code", "status", "error"), REFUSALS)
def test_a_definite_answer_is_no_outage(code, status, error):
    assert error is type(refusal("primary", "a", code, status))


@pytest.mark.parametrize(("code", "status", "retry_here"), OUTAGES)
def test_an_outage_says_whether_it_may_pass(code, status, retry_here):
    found = refusal("primary", "a", code, status)

    assert StorageUnavailable is type(found)
    assert retry_here is found.retry_here
    assert (code or str(status)) in str(found)


@pytest.mark.parametrize(
    ("error", "retry_here"),
    [
        (ServiceRequestError(SECRET, error=ConnectionRefusedError(SECRET)), True),
        (ServiceRequestError(SECRET, error=requests.exceptions.SSLError(SECRET)), False),
        (ServiceResponseTimeoutError(SECRET), True),
        (IncompleteReadError(SECRET), True),
        (HttpResponseError(SECRET, error=ServiceResponseTimeoutError(SECRET)), True),
        (ClientAuthenticationError(SECRET), False),
        (requests.exceptions.ConnectionError(SECRET), True),
        (ValueError("HTTP transport has already been closed: " + SECRET), True),
        (requests.exceptions.SSLError(SECRET), False),
    ],
)
def test_an_error_without_an_answer_is_an_outage_and_keeps_its_secrets(error, retry_here):
    found = meaning("primary", "a", error)

    assert StorageUnavailable is type(found)
    assert retry_here is found.retry_here
    assert "secret" not in str(found)
    assert "://" not in str(found)


def test_our_own_errors_pass():
    with pytest.raises(ObjectExists), translated("primary"):
        raise ObjectExists("primary", "a")
