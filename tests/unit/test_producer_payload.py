"""What makes two uploads the same."""

from datetime import UTC, datetime

import pytest

from uploadmill.ids import new_job_id
from uploadmill.job import StagedObject, UploadJob
from uploadmill.producer.payload import payload_hash, same_upload

SHA256 = "a" * 64


def job(**changes):
    facts = {
        "id": new_job_id(),
        "pipeline": "photo",
        "staged": StagedObject(key="uploads/x/1", etag="e1", size=7, sha256=SHA256),
        "filename": "holiday.jpg",
        "declared_type": "image/jpeg",
        "metadata": {"album": "7", "place": "Åre"},
        "owner": "user-1",
        "enqueued_at": datetime.now(UTC),
    }
    return UploadJob(**{**facts, **changes})


def test_two_attempts_at_one_upload_have_one_hash():
    first = job()
    second = job(
        staged=StagedObject(key="uploads/x/2", etag="e2", version="v2", size=7, sha256=SHA256),
        metadata={"place": "Åre", "album": "7"},
        deadline=5,
    )

    assert payload_hash(first) == payload_hash(second)
    assert same_upload(first, second)


@pytest.mark.parametrize(
    "changes",
    [
        {"pipeline": "avatar"},
        {"filename": None},
        {"filename": "other.jpg"},
        {"declared_type": "image/png"},
        {"metadata": {}},
        {"owner": None},
        {"staged": StagedObject(key="uploads/x/1", etag="e1", size=8, sha256=SHA256)},
        {"staged": StagedObject(key="uploads/x/1", etag="e1", size=7, sha256="b" * 64)},
    ],
    ids=str,
)
def test_whatever_the_caller_says_counts(changes):
    assert not same_upload(job(), job(**changes))


def test_of_a_foreign_object_the_state_counts():
    seen = StagedObject(key="inbox/a", etag="e1", size=7)
    overwritten = StagedObject(key="inbox/a", etag="e2", size=7)

    assert payload_hash(job(), seen) == payload_hash(job(), seen)
    assert payload_hash(job(), seen) != payload_hash(job(), overwritten)
    assert payload_hash(job(), seen) != payload_hash(job())


def test_the_hash_of_a_release_stays_as_it_was():
    # Records and envelopes of the last version must still be joined by a newer producer.
    expected = "9b5263c75945ad951299e0f5af7e817065d59bb8a716be896d3b71b4760d8ac2"

    assert payload_hash(job()) == expected
