"""What somebody has put back on the secondary by hand: no store has said what its sha256 is."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

import pytest
from services.memory_stores import PUBLIC
from services.stranded import job_of, stranded

from uploadmill.backends.ledger.healing import Healed, heal
from uploadmill.backends.ledger.settle import Settler
from uploadmill.backends.storage.local import LocalStorage
from uploadmill.job import OutputFile, Placement
from uploadmill.settings import HealSettings

CONTENT = b"hello bytes"


@pytest.fixture
def folder(tmp_path) -> Path:
    return tmp_path / "secondary"


@pytest.fixture
def settler(settler: Settler, folder: Path) -> Settler:
    """With a secondary that a person can copy files into."""
    secondary = LocalStorage(folder, name="secondary", public_url=f"{PUBLIC}secondary/")
    settler.stores = replace(settler.stores, secondary=secondary)
    return settler


def restored(settler: Settler, folder: Path, content: bytes) -> OutputFile:
    """A job whose files on the secondary went, and came back from a backup, without their facts."""
    made = stranded(settler, CONTENT)
    result_key = settler.stores.result_key(job_of(made))
    kept = {made.key: content, result_key: (folder / result_key).read_bytes()}
    settler.stores.secondary.delete(*kept)
    for key, each in kept.items():
        (folder / key).parent.mkdir(parents=True, exist_ok=True)
        (folder / key).write_bytes(each)
        assert settler.stores.secondary.stat(key).sha256 is None
    return made


def healed(settler: Settler) -> Healed:
    return heal(settler, HealSettings(jobs_per_second=10_000))


def test_what_was_restored_by_hand_comes_home(settler, folder):
    made = restored(settler, folder, CONTENT)

    assert Healed(copied=1, bytes=len(CONTENT)) == healed(settler)

    stat = settler.stores.primary.stat(made.key)
    assert (made.sha256, "image/jpeg") == (stat.sha256, stat.content_type)
    result = settler.stores.result_key(job_of(made))
    assert (folder / result).read_bytes() == settler.stores.primary.read(result, 10_000)
    assert Placement.PRIMARY == settler.ledger.read(job_of(made)).location


@pytest.mark.parametrize("content", [b"HELLO BYTES", b"hello", b"", CONTENT * 2])
def test_wrong_bytes_that_were_restored_stay_and_their_store_is_named(
    settler, folder, content, caplog
):
    made = restored(settler, folder, content)

    assert Healed(damaged=1) == healed(settler)

    assert set() == settler.stores.primary.keys()
    (said,) = [each.reason for each in caplog.records if each.message == "not_healed"]
    assert "storage 'secondary'" in said
    assert made.sha256 in said


def test_a_result_that_rotted_is_not_copied(settler, folder):
    made = stranded(settler, CONTENT)
    rot(folder / settler.stores.result_key(job_of(made)))

    assert Healed(damaged=1, bytes=len(CONTENT)) == healed(settler)

    assert {made.key} == settler.stores.primary.keys()


def rot(path: Path) -> None:
    """Other bytes, of which nothing tells: as many, and of the same time."""
    before = path.stat()
    path.write_bytes(path.read_bytes().replace(b"stored", b"STORED"))
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
