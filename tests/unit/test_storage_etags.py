"""Which texts can be the etag of an object."""

import pytest

from uploadmill.backends.storage.etags import is_etag


@pytest.mark.parametrize(
    "etag",
    ["d41d8cd98f00b204e9800998ecf8427e-2", "0x8DE2A0F1B2C3D40", "1764000000000001", "18f-0", "!~"],
)
def test_what_stores_give_is_an_etag(etag):
    assert is_etag(etag)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "*",
        '"quoted"',
        "a b",
        "a,b",
        "a\n",
        "a\r\nb",
        "\0",
        "\x7f",
        "ü",
        "\U0001f600",
        "x" * 1025,
    ],
)
def test_what_a_server_would_take_for_something_else_is_none(text):
    assert not is_etag(text)
