"""How Google is asked to delete one state of an object; the emulator looks at no such condition."""

import json

import pytest
from services.canned import Reply, canned
from services.google_stores import DESCRIBED

from uploadmill.errors import ObjectChanged


def deleted(google_store, reply, etag):
    """The requests to delete ``a`` by its etag, of a server that answers them so."""

    def answer(method, _):
        return reply if method == "DELETE" else Reply(200, json.dumps(DESCRIBED).encode())

    with canned(answer) as server:
        storage = google_store(endpoint_url=server.endpoint)
        try:
            storage.delete("a", if_match=etag)
        finally:
            storage.close()
    return [path for method, path in server.requests if method == "DELETE"]


def test_google_decides_whether_the_object_is_still_the_same(google_store):
    paths = deleted(google_store, Reply(204), "3")

    assert 1 == len(paths)
    assert "ifGenerationMatch=3" in paths[0]


def test_an_object_that_google_has_in_another_state_was_changed(google_store):
    with pytest.raises(ObjectChanged, match="'a'"):
        deleted(google_store, Reply(412, b'{"error": {"message": "conditionNotMet"}}'), "3")


def test_an_object_that_has_gone_is_no_error(google_store):
    gone = Reply(404, b'{"error": {"message": "No such object: x/made/a"}}')

    assert 1 == len(deleted(google_store, gone, "3"))


@pytest.mark.parametrize("etag", ["d41d8cd9", "0", "03", "\u0663", "9" * 19, "3" * 5000])
def test_an_etag_that_is_none_of_googles_deletes_nothing(google_store, etag):
    with pytest.raises(ObjectChanged):
        deleted(google_store, Reply(204), etag)


def test_nothing_is_no_error_with_such_an_etag_either(google_store):
    google_store().delete("never-there", if_match="d41d8cd9")
