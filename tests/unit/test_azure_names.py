"""Keys and metadata names on their way to Azure and back."""

import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as some

from uploadmill.backends.storage.azure_names import (
    azure_metadata,
    blob_name,
    blob_prefix,
    from_azure_metadata,
    key_of,
)

DOTTED = some.text(alphabet="a.~/", max_size=12)
#: Drawn from few characters, of every kind: a table of all of Unicode takes half a minute to make.
NAMES = some.text("ab09_-", min_size=1, max_size=20).filter(lambda name: name[0].isalnum())
METADATA = some.dictionaries(NAMES, some.text('a%~ \r\n"ä漢😀\x7f', max_size=8))

IDENTIFIER = re.compile(r"[a-zA-Z_][a-zA-Z0-9_]*")


@pytest.mark.parametrize(
    ("key", "name"),
    [
        ("a/b.txt", "a/b.txt"),
        ("a.", "a.~"),
        ("...", "...~"),
        ("a./b../c", "a.~/b..~/c"),
        ("a.~", "a.~~"),
        ("a~", "a~"),
    ],
)
def test_no_segment_ends_in_a_dot_that_azure_would_drop(key, name):
    assert name == blob_name(key)


@settings(deadline=None)
@given(DOTTED)
def test_every_key_comes_back_from_its_name(key):
    assert key == key_of(blob_name(key))
    assert not re.search(r"\.(/|$)", blob_name(key))


@settings(deadline=None)
@given(DOTTED, some.integers(0, 12))
def test_whatever_a_key_starts_with_finds_its_name(key, length):
    assert blob_name(key).startswith(blob_prefix(key[:length]))


@settings(deadline=None)
@given(METADATA)
def test_metadata_has_names_that_azure_takes_and_comes_back(metadata):
    ours = azure_metadata(metadata, "abc")

    assert [] == [name for name in ours if not IDENTIFIER.fullmatch(name)]
    assert (metadata, "abc") == from_azure_metadata(ours)


def test_no_metadata_of_a_users_takes_the_place_of_our_sha256():
    ours = azure_metadata({"uploadmill_sha256": "theirs"}, "ours")

    assert {"uploadmill__sha256": "theirs", "uploadmill_sha256": "ours"} == ours


def test_metadata_of_others_objects_stays_as_it_is():
    theirs = {"Some_mName": "100%25"}

    assert (theirs, None) == from_azure_metadata(theirs)
    assert theirs == azure_metadata(theirs, None)
    assert ({}, None) == from_azure_metadata(None)
