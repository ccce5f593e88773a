"""Where an account is and how to get in, from options and files."""

from contextlib import closing

import pytest
from pydantic import SecretStr
from requests.adapters import HTTPAdapter
from requests.exceptions import ConnectionError as NoConnection

from uploadmill.backends.storage.azure_access import AzureAccess, azure_access
from uploadmill.backends.storage.opening import open_storage
from uploadmill.errors import InvalidSettings, StorageUnavailable

URL = "https://acme.blob.core.windows.net"
KEY = "a2V5"


def access(url=None, key=None, path=None):
    return azure_access("primary", url, key, path, 2.0)


def written(tmp_path, text):
    path = tmp_path / "credentials"
    path.write_text(text)
    return str(path)


def test_a_key_is_taken_secret_or_plain():
    expected = AzureAccess(URL, "acme", KEY, 2.0)

    assert expected == access(URL + "/", SecretStr(KEY)) == access(URL, KEY)
    assert KEY not in repr(expected)


def test_without_a_key_there_is_the_providers_own_chain():
    assert AzureAccess(URL, "acme", None, 2.0) == access(URL)


def test_an_emulators_account_is_in_the_path():
    assert "devaccount" == access("http://127.0.0.1:1/devaccount", KEY).account


def test_a_file_may_hold_nothing_but_the_key(tmp_path):
    assert AzureAccess(URL, "acme", KEY, 2.0) == access(URL, path=written(tmp_path, KEY + "\n"))


@pytest.mark.parametrize(
    ("more", "url"),
    [
        ("", "https://acme.blob.core.windows.net"),
        (";DefaultEndpointsProtocol=http;EndpointSuffix=x.test", "http://acme.blob.x.test"),
        (";BlobEndpoint=https://files.test/", "https://files.test"),
    ],
)
def test_a_connection_string_says_where_and_how(tmp_path, more, url):
    path = written(tmp_path, f"AccountName=acme;AccountKey={KEY}{more}")

    assert AzureAccess(url, "acme", KEY, 2.0) == access(path=path)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({}, "account_url is missing"),
        ({"url": "acme.blob.core.windows.net"}, "account_url is no address of a server"),
        ({"url": "https://acme:sec/ret@blob.test", "key": KEY}, "credentials do not belong"),
        ({"url": "https://acme:secret", "key": KEY}, "no valid port"),
        ({"url": URL + "?sig=secret", "key": KEY}, "has a query"),
        ({"url": "http://acme.test"}, "must be https"),
        ({"url": URL, "key": "no-base-64!secret"}, "no base64"),
        ({"url": URL, "key": KEY, "path": "x"}, "give one"),
        ({"url": URL, "path": "/there/is/none"}, "FileNotFoundError"),
    ],
)
def test_what_does_not_fit_is_refused_without_showing_a_secret(options, message):
    with pytest.raises(InvalidSettings, match=message) as caught:
        access(**options)

    assert "secret" not in str(caught.value)


def test_a_connection_string_without_a_key_is_refused(tmp_path):
    path = written(tmp_path, "AccountName=acme;SharedAccessSignature=sig=secret")

    with pytest.raises(InvalidSettings, match="no AccountKey") as caught:
        access(URL, path=path)
    assert "secret" not in str(caught.value)


def test_a_sign_in_that_gets_no_answer_is_not_tried_again(monkeypatch):
    asked = []

    def nobody_answers(_adapter, request, **_options):
        asked.append(request.url)
        raise NoConnection

    monkeypatch.setattr(HTTPAdapter, "send", nobody_answers)
    for name in ("TENANT_ID", "CLIENT_ID", "CLIENT_SECRET"):
        monkeypatch.setenv(f"AZURE_{name}", "00000000-0000-0000-0000-000000000000")

    with (
        closing(open_storage("azure", container="media", account_url=URL)) as storage,
        pytest.raises(StorageUnavailable),
    ):
        storage.stat("a")

    assert 1 == len(asked)
