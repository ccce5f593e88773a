"""What Google's answers and the network's errors mean, one by one."""

from __future__ import annotations

import json

import pytest
import requests
from google.api_core.exceptions import GoogleAPICallError
from google.auth.exceptions import DefaultCredentialsError, RefreshError, TransportError
from requests.exceptions import ChunkedEncodingError, InvalidURL, ReadTimeout, SSLError
from urllib3.exceptions import ProtocolError
from urllib3.exceptions import SSLError as BareSSLError

from uploadmill.backends.storage.gcs_errors import (
    answered,
    meaning,
    says_no_such_object,
    translated,
)
from uploadmill.errors import (
    ObjectChanged,
    SizeLimitExceeded,
    StorageUnavailable,
    Unsupported,
)

#: What no message may show.
SECRET = "https://storage.googleapis.com/upload/storage/v1/b/x/o?upload_id=secret"


def answer(status: int, reason: str = "", message: str = SECRET) -> GoogleAPICallError:
    """An answer in the form that Google's JSON API gives to its errors."""
    problem = {"code": status, "message": message, "errors": [{"reason": reason}]}
    response = requests.Response()
    response.status_code = status
    response._content = json.dumps({"error": problem}).encode()
    return answered(response)


@pytest.mark.parametrize(
    ("status", "reason", "retry_here"),
    [
        (401, "authError", False),
        (402, "paymentRequired", False),
        (403, "forbidden", False),
        (403, "insufficientPermissions", False),
        (403, "rateLimitExceeded", True),
        (403, "userRateLimitExceeded", True),
        (404, "notFound", False),
        (408, "", True),
        (409, "conflict", True),
        (410, "", True),
        (429, "rateLimitExceeded", True),
        (400, "userProjectMissing", False),
        (500, "backendError", True),
        (502, "", True),
        (503, "backendError", True),
        (504, "", True),
        (501, "notImplemented", False),
        (302, "", False),
    ],
)
def test_an_answer_about_the_store(status, reason, retry_here):
    error = meaning("primary", "a", answer(status, reason))

    assert isinstance(error, StorageUnavailable)
    assert retry_here is error.retry_here
    assert str(status) in str(error)
    assert reason in str(error)
    assert "secret" not in str(error)


@pytest.mark.parametrize(
    ("status", "reason", "message", "expected"),
    [
        (412, "conditionNotMet", "", ObjectChanged),
        (412, "conditionNotMet", "… public access prevention is enforced.", Unsupported),
        (400, "invalid", "… when uniform bucket-level access is enabled.", Unsupported),
        (413, "uploadTooLarge", "", SizeLimitExceeded),
        (400, "invalid", "", Unsupported),
        (400, "required", "", Unsupported),
        (411, "", "", Unsupported),
        (414, "", "", Unsupported),
    ],
)
def test_an_answer_about_the_request(status, reason, message, expected):
    error = meaning("primary", "a", answer(status, reason, message + SECRET))

    assert expected is type(error)
    assert "secret" not in str(error)


def test_bytes_that_were_damaged_on_the_way_may_be_sent_again():
    message = 'Provided CRC32C "AAAAAA==" doesn\'t match calculated CRC32C "mnG7TA==".'

    error = meaning("primary", "a", answer(400, "invalid", message))

    assert isinstance(error, StorageUnavailable)
    assert error.retry_here


@pytest.mark.parametrize(
    ("error", "retry_here"),
    [
        (requests.ConnectionError(SECRET), True),
        (requests.ConnectTimeout(SECRET), True),
        (ReadTimeout(SECRET), True),
        (ChunkedEncodingError(SECRET), True),
        (requests.exceptions.JSONDecodeError(SECRET, "<html>", 0), True),
        (ProtocolError(SECRET), True),
        (ConnectionResetError(SECRET), True),
        (TimeoutError(SECRET), True),
        (SSLError(SECRET), False),
        (BareSSLError(SECRET), False),
        (InvalidURL(SECRET), False),
        (FileNotFoundError(SECRET), False),
        (DefaultCredentialsError(SECRET), False),
        (RefreshError(SECRET), False),
        (RefreshError(SECRET, retryable=True), True),
        (TransportError(SECRET), True),
    ],
    ids=lambda value: type(value).__name__,
)
def test_an_error_on_the_way(error, retry_here):
    with pytest.raises(StorageUnavailable) as caught, translated("primary", "a"):
        raise error

    assert retry_here is caught.value.retry_here
    assert error is caught.value.__cause__
    assert "secret" not in str(caught.value)


def test_a_bad_certificate_on_the_way_to_a_token_does_not_pass():
    error = TransportError(SECRET)
    error.__cause__ = SSLError(SECRET)

    assert not meaning("primary", "a", error).retry_here


def test_missing_credentials_are_named_with_their_remedy():
    assert "credentials_path" in str(meaning("primary", "a", DefaultCredentialsError(SECRET)))


def test_an_error_of_the_callers_is_not_touched():
    with pytest.raises(ZeroDivisionError), translated("primary", "a"):
        _ = 1 / 0


def test_an_answer_in_another_form_keeps_its_status():
    response = requests.Response()
    response.status_code = 503
    response._content = b"<html>captive portal"

    assert meaning("primary", "a", answered(response)).retry_here


@pytest.mark.parametrize(
    ("message", "expected"),
    [
        ("No such object: bucket/key", True),
        ("The specified bucket does not exist.", False),
        ("Not Found", False),
    ],
)
def test_a_missing_object_is_told_from_a_missing_bucket(message, expected):
    assert expected is says_no_such_object(answer(404, "notFound", message))
