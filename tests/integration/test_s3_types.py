"""Types on a real S3 server that takes the one which says nothing for none."""

import urllib.request
from contextlib import closing

import pytest
from services.s3_stores import BUCKET, boto, new_store

from uploadmill.backends.storage.content_types import DEFAULT_TYPE
from uploadmill.backends.storage.contract_features import taken
from uploadmill.backends.storage.contract_ground import MadeUp
from uploadmill.backends.storage.failover import FailoverStorage
from uploadmill.backends.storage.memory import MemoryStorage

#: More than one part.
LARGE = (5 << 20) + 1


@pytest.fixture
def storage(s3_server, request):
    where = f"types/{request.node.name}"
    with closing(new_store(s3_server, base_path=where, part_size=5 << 20)) as made:
        yield made


def served_as(storage, key):
    with urllib.request.urlopen(storage.url(key, expires=600)) as answer:  # noqa: S310 (a store's)
        return answer.headers["Content-Type"]


def test_data_are_not_served_as_a_page(storage):
    for size in (10, LARGE):
        put = storage.put("evil.html", MadeUp(size), content_type=DEFAULT_TYPE)

        assert DEFAULT_TYPE == put.content_type == storage.stat("evil.html").content_type
        # Types are the same in any case.
        assert DEFAULT_TYPE == served_as(storage, "evil.html").lower()


def test_what_has_no_type_moves_to_a_key_that_tells_one(storage):
    storage.put("tmp/1", b"a,b\n")

    moved = storage.move("tmp/1", "r/report.csv")

    assert DEFAULT_TYPE == moved.content_type == storage.stat("r/report.csv").content_type
    assert ["r/report.csv"] == [stat.key for stat in storage.list()]


def test_others_objects_without_a_type_move_too(s3_server, storage):
    # The server gives the copy its extension's type: nobody had said another.
    with closing(boto(s3_server)) as client:
        client.put_object(
            Bucket=BUCKET,
            Key=f"types/{test_others_objects_without_a_type_move_too.__name__}/theirs",
            Body=b"a,b\n",
            ContentType=DEFAULT_TYPE,
        )

    storage.move("theirs", "theirs.csv")

    assert ["theirs.csv"] == [stat.key for stat in storage.list()]


def test_a_form_for_data_makes_data(storage):
    form = storage.presign_upload("form.html", content_type=DEFAULT_TYPE, max_size=10)

    assert taken(form, b"<p>")

    assert DEFAULT_TYPE == storage.stat("form.html").content_type


def test_data_stay_data_from_store_to_store(storage):
    composite = FailoverStorage(storage, MemoryStorage("secondary"))
    composite.put("tmp/1", b"a,b\n")

    composite.move("tmp/1", "final/1.csv")

    assert DEFAULT_TYPE == composite.stat("final/1.csv").content_type
    assert not composite.exists("tmp/1")
