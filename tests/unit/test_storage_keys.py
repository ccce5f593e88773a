"""Which keys, metadata and types every store takes."""

import pytest

from uploadmill.backends.storage.addresses import public_address
from uploadmill.backends.storage.content_types import type_by_extension
from uploadmill.backends.storage.contract_keys import HOSTILE_KEYS, STRANGE_NAMES
from uploadmill.backends.storage.contract_put import METADATA
from uploadmill.backends.storage.headers import (
    attachment,
    check_header,
    check_metadata,
    decoded,
    encoded,
)
from uploadmill.backends.storage.keys import check_key, check_prefix, is_key
from uploadmill.errors import InvalidKey, Unsupported


@pytest.mark.parametrize("key", HOSTILE_KEYS)
def test_a_hostile_key_is_refused_with_a_printable_message(key):
    with pytest.raises(InvalidKey) as caught:
        check_key("primary", key)

    assert not is_key(key)
    str(caught.value).encode()
    assert len(str(caught.value)) < 250


@pytest.mark.parametrize("name", STRANGE_NAMES)
def test_a_strange_key_is_taken(name):
    check_key("primary", "folder/" + name)

    assert is_key(name)


def test_the_longest_key_is_taken_and_one_byte_more_is_not():
    longest = "/".join(["x" * 255] * 3)

    check_key("primary", longest)
    with pytest.raises(InvalidKey, match="more than 768 bytes"):
        check_key("primary", "a" + "/" + longest)


@pytest.mark.parametrize("prefix", ["", "a", "a/", "a/b", "..b", "a/.", "a/.."])
def test_a_prefix_may_end_in_half_a_name(prefix):
    check_prefix("primary", prefix)


@pytest.mark.parametrize("prefix", ["/", "../", "a//", "a/../b", "a\0", "a\\", ".uploadmill/"])
def test_a_prefix_of_no_valid_key_is_refused(prefix):
    with pytest.raises(InvalidKey):
        check_prefix("primary", prefix)


@pytest.mark.parametrize("value", [*METADATA.values(), "%", "%-", "%25"])
def test_a_value_travels_as_ascii_and_comes_back(value):
    travelling = encoded(value)

    assert travelling.isascii()
    assert travelling.isprintable()
    assert travelling
    assert value == decoded(travelling)


def test_metadata_may_have_as_many_bytes_as_all_stores_keep():
    check_metadata("primary", "k", {"a": "x" * 1535})

    with pytest.raises(Unsupported, match="more than 1536 bytes"):
        check_metadata("primary", "k", {"a": "x" * 1536})
    with pytest.raises(Unsupported, match="more than 1536 bytes"):
        check_metadata("primary", "k", {"a": "ü" * 300})


def test_the_name_of_our_own_metadata_is_reserved():
    with pytest.raises(Unsupported, match="uploadmill-sha256"):
        check_metadata("primary", "k", {"uploadmill-sha256": "0"})


def test_types_do_not_depend_on_the_machine():
    assert "image/webp" == type_by_extension("a.webp")
    assert "image/jpeg" == type_by_extension("a/b.JPG")
    assert "application/octet-stream" == type_by_extension("a.unheard-of")


def test_a_public_address_is_quoted():
    assert "https://cdn.test/a%20b/%C3%BC%3F" == public_address("https://cdn.test/", "a b/ü?")
    assert None is public_address(None, "a")


def test_an_attachment_names_the_file_for_old_and_new_browsers():
    expected = "attachment; filename=\"a b_.jpg\"; filename*=UTF-8''a%20b%C3%BC.jpg"
    assert expected == attachment("a bü.jpg")


@pytest.mark.parametrize("name", ['"', "\r\nX: y", "a;b", "\\", "/etc/passwd"])
def test_no_file_name_breaks_out_of_its_header(name):
    _, plain, _encoded = attachment(name).split("; ")

    assert not {'"', "\\", "\r", "\n", "/"} & set(plain.removeprefix('filename="')[:-1])
    check_header("primary", "a", "content disposition", attachment(name))


@pytest.mark.parametrize("value", ["", " ", "a\nb", "ü", "x" * 1025])
def test_a_header_that_does_not_fit_is_refused(value):
    with pytest.raises(Unsupported):
        check_header("primary", "a", "cache control", value)
