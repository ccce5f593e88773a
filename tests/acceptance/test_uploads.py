"""What users upload, through a real worker: good pictures, bad pictures, infected files."""

from __future__ import annotations

import io
from collections.abc import Iterator

import pytest
from pictures import CORNERS, corners_of, photograph
from PIL import Image
from services.waiting import eventually

from uploadmill.errors import UploadmillError
from uploadmill.ids import new_nonce
from uploadmill.job import JobState
from uploadmill.worker.embedded.eicar import eicar
from uploadmill.worker.embedded.environment import TEST_ONLY, Environment, Worker

#: How a picture that lies right looks: each corner has its own colour.
UPRIGHT = {corner: corner for corner in CORNERS}

pytestmark = pytest.mark.usefixtures("working")


@pytest.fixture(scope="module")
def environment(servers) -> Iterator[Environment]:
    """One for all: each test here looks at its own job alone, and kills nobody."""
    with servers() as environment:
        yield environment


@pytest.fixture(scope="module")
def working(environment) -> Worker:
    return environment.start_worker(concurrency=2)


@pytest.mark.parametrize("orientation", range(1, 9))
def test_a_photograph_is_stored_upright_in_every_orientation(mill, orientation):
    result = mill.run(photograph(800, 600, orientation=orientation))
    assert JobState.STORED == result.state
    assert {"large", "medium", "thumb"} == set(result.outputs)
    for name, (width, height) in {"large": (800, 600), "thumb": (320, 240)}.items():
        output = result.outputs[name]
        picture = Image.open(io.BytesIO(mill.read("primary", output.key)))
        assert (width, height) == picture.size == (output.width, output.height)
        assert UPRIGHT == corners_of(picture)
        assert 1 == picture.getexif().get(0x0112, 1)


def test_a_result_says_all_that_was_done(mill):
    result = mill.run(
        photograph(640, 480), filename="../../holiday.jpg", owner="7", metadata={"album": "12"}
    )
    assert ("../../holiday.jpg", "7", {"album": "12"}) == (
        result.filename,
        result.owner,
        result.metadata,
    )
    steps = [receipt.step for receipt in result.receipts]
    assert steps == [
        "pin",
        "validate",
        "scan",
        "extract_metadata",
        "resize",
        "optimize",
        "commit",
    ]
    assert all(receipt.ms > 0 for receipt in result.receipts)
    # Also for how little it was looked: this clamd knows one signature, and no virus.
    certificate = result.certificate
    assert ("clean", TEST_ONLY) == (certificate.verdict, certificate.signatures)
    assert ("image/jpeg", 640) == (result.extracted["content_type"], result.extracted["width"])
    assert all("primary" == output.store for output in result.outputs.values())
    assert "result.json" in [key.rsplit("/")[-1] for key in mill.files("primary")]


def test_nothing_of_an_ended_job_stays_in_staging_or_workspace(mill):
    job = mill.run(photograph(320, 240)).job_id
    jobs = mill.environment.folder / "workspace" / "jobs"
    assert eventually(lambda: job not in [path.name for path in jobs.iterdir()])
    left = [key for key in mill.files("staging") if job in key]
    assert [f"outcomes/{job}.json"] == left


@pytest.mark.parametrize(
    ("content", "pipeline"),
    [
        (eicar(), "document"),
        (photograph(320, 240) + eicar(), "photo"),
    ],
    ids=["raw", "appended to a JPEG"],
)
def test_an_infected_upload_is_quarantined_and_never_seen_in_a_store(mill, content, pipeline):
    result = mill.run(content, pipeline)
    assert JobState.QUARANTINED == result.state
    assert ("infected", "infected_upload") == (result.certificate.verdict, result.error.code)
    assert {} == result.outputs
    assert [f"{result.job_id}/{result.certificate.sha256}"] == [
        key for key in mill.files("quarantine") if result.job_id in key
    ]
    seen = [*mill.files("primary"), *mill.files("secondary")]
    assert [] == [key for key in seen if result.job_id in key]


@pytest.mark.parametrize(
    ("content", "code"),
    [
        (b"This is no picture, whatever its name says.\n" * 20, "unsupported_media"),
        (photograph(800, 600)[:-4000], "corrupt_upload"),
        (b"", "unsupported_media"),
    ],
    ids=["a text called .jpg", "a truncated JPEG", "an empty file"],
)
def test_bad_content_is_rejected_with_its_reason_and_kept_for_a_day(mill, content, code):
    result = mill.run(content, filename="holiday.jpg", content_type="image/jpeg")
    assert (JobState.REJECTED, code) == (result.state, result.error.code)
    assert "validate" == result.error.step
    assert 1 == len([key for key in mill.files("staging") if f"uploads/{result.job_id}" in key])


def test_a_document_is_stored_as_it_was(mill):
    text = "Zwölf Boxkämpfer jagen Viktor quer über den Sylter Deich.\n".encode() * 500
    result = mill.run(text, "document")
    (output,) = result.outputs.values()
    assert (JobState.STORED, "text/plain") == (result.state, output.content_type)
    assert text == mill.read("primary", output.key)


def test_an_avatar_fills_its_two_squares(mill):
    result = mill.run(photograph(800, 600, orientation=6), "avatar")
    stored = {
        name: Image.open(io.BytesIO(mill.read("primary", output.key)))
        for name, output in result.outputs.items()
    }
    assert JobState.STORED == result.state
    assert {"avatar": (256, 256), "small": (64, 64)} == {n: p.size for n, p in stored.items()}
    for name, picture in stored.items():
        output = result.outputs[name]
        assert ("JPEG", "image/jpeg") == (picture.format, output.content_type)
        assert picture.size == (output.width, output.height)
        assert output.size == len(mill.read("primary", output.key))
        assert UPRIGHT == corners_of(picture)


def test_a_key_used_for_another_upload_is_refused(mill):
    key = new_nonce()
    mill.run(photograph(400, 300), idempotency_key=key, owner="7")
    with pytest.raises(UploadmillError, match="use a new key"):
        mill.uploads.enqueue(photograph(300, 400), pipeline="photo", idempotency_key=key, owner="7")
