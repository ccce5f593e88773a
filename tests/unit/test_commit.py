"""The commit: what may be stored at all, under which names, and where."""

from __future__ import annotations

import hashlib
from datetime import UTC, datetime

import pytest
from services.memory_stores import memory_stores
from services.timed_ledger import OTHER_SHA256, certificate, new_job

from uploadmill.backends.ledger.record import Record, WorkFile
from uploadmill.errors import IntegrityError, StorageUnavailable
from uploadmill.job import Placement
from uploadmill.pipeline import Plan, Scan, Validate
from uploadmill.tasks.commit import check, commit, describe

CONTENT = b"the pinned bytes"
SHA256 = hashlib.sha256(CONTENT).hexdigest()
SCANNING = Plan.of("document", [Validate(), Scan()])
TRUSTING = Plan.of("document", [Validate()])


@pytest.fixture
def original(tmp_path):
    path = tmp_path / "pin-1-abc-original"
    path.write_bytes(CONTENT)
    return path


@pytest.fixture
def stores():
    return memory_stores()


def record(**changes) -> Record:
    """A job whose bytes were pinned and found clean."""
    clean = certificate(sha256=SHA256)
    facts = {"plan": SCANNING, "src_sha256": SHA256, "certificate": clean}
    return Record(
        version=1, job=new_job(), step="commit", accepted_at=datetime.now(UTC), **facts | changes
    )


def fact(content: bytes = CONTENT, **changes) -> WorkFile:
    sha256 = hashlib.sha256(content).hexdigest()
    facts = {"name": "f", "output": "large", "sha256": sha256, "size": len(content)}
    return WorkFile(**facts | changes)


def test_bytes_that_were_found_clean_may_be_stored(original):
    check(record(), original)


def test_a_pinned_file_that_changed_on_disk_is_not_stored(original):
    original.write_bytes(CONTENT + b" and more")

    with pytest.raises(IntegrityError, match="changed"):
        check(record(), original)


@pytest.mark.parametrize(
    "given",
    [
        None,
        certificate("infected", SHA256),
        certificate("not_scanned", SHA256),
        certificate("clean", OTHER_SHA256),
    ],
    ids=["none", "infected", "not scanned", "of other bytes"],
)
def test_nothing_is_stored_on_any_other_certificate(original, given):
    with pytest.raises(IntegrityError, match="no clean certificate"):
        check(record(certificate=given), original)


def test_without_a_plan_a_scan_is_demanded(original):
    with pytest.raises(IntegrityError, match="no clean certificate"):
        check(record(plan=None, certificate=None), original)


def test_a_pipeline_without_a_scan_needs_no_certificate_but_the_pinned_bytes(original):
    check(record(plan=TRUSTING, certificate=None), original)

    original.write_bytes(b"others")
    with pytest.raises(IntegrityError, match="changed"):
        check(record(plan=TRUSTING, certificate=None), original)


@pytest.mark.parametrize(
    ("content_type", "extension"),
    [
        ("image/jpeg", "jpg"),
        ("image/png", "png"),
        ("image/webp", "webp"),
        ("application/pdf", "pdf"),
        ("text/plain", "txt"),
        ("application/x-nobody-knows", "bin"),
        (None, "bin"),
    ],
)
def test_a_key_is_made_of_job_output_content_and_type(stores, content_type, extension):
    job = new_job()

    output = describe(fact(content_type=content_type, width=4, height=3), job, stores)

    assert f"media/{job.id}/large-{SHA256[:32]}.{extension}" == output.key
    assert (content_type or "application/octet-stream") == output.content_type
    assert (4, 3, SHA256, len(CONTENT)) == (
        output.width,
        output.height,
        output.sha256,
        output.size,
    )


def test_all_outputs_go_to_the_primary(stores, tmp_path):
    files, facts = made(tmp_path)
    job = new_job()

    outputs, placed = commit(files, facts, job, stores)

    assert Placement.PRIMARY == placed.role
    assert {output.key for output in outputs.values()} == stores.primary.keys()
    assert set() == stores.secondary.keys()
    for name, output in outputs.items():
        with stores.primary.open(output.key) as reader:
            assert files[name].read_bytes() == reader.read(100)
        assert {"job": job.id} == stores.primary.stat(output.key).metadata


def test_all_of_them_go_to_the_secondary_where_the_primary_refuses(stores, tmp_path):
    stores.primary.full = True
    files, facts = made(tmp_path)

    outputs, placed = commit(files, facts, new_job(), stores)

    assert Placement.SECONDARY == placed.role
    assert {output.key for output in outputs.values()} == stores.secondary.keys()


def test_with_both_out_nothing_is_placed(stores, tmp_path):
    stores.primary.full = stores.secondary.full = True
    files, facts = made(tmp_path)

    with pytest.raises(StorageUnavailable):
        commit(files, facts, new_job(), stores)


def test_an_output_that_is_not_what_the_record_says_is_not_stored(stores, tmp_path):
    files, facts = made(tmp_path)
    files["small"].write_bytes(b"torn")

    with pytest.raises(IntegrityError):
        commit(files, facts, new_job(), stores)
    assert not any("small" in key for key in sorted(stores.primary.keys()))


def made(folder):
    """Two outputs in a workspace, and what the record says of them."""
    files, facts = {}, {}
    for name in ("large", "small"):
        files[name] = folder / name
        files[name].write_bytes(name.encode())
        facts[name] = as_recorded(name)
    return files, facts


def as_recorded(name: str) -> WorkFile:
    return fact(name.encode(), name=name, output=name, content_type="image/jpeg")
