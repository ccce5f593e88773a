"""The watcher finds what must never be seen, whenever it is seen, and calls it by its name."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from services.waiting import eventually

from chaos.planting import Plants, assert_reported
from chaos.shelves import Folder, State
from chaos.world import OUTPUTS, World
from uploadmill.backends.ledger.names import ENDED
from uploadmill.backends.storage.canary import FOLDER as CANARIES
from uploadmill.ids import new_job_id
from uploadmill.job import Placement
from uploadmill.worker.embedded.eicar import eicar

SEEN = Plants()


def named(content: bytes) -> str:
    """An output's name that is true of its bytes."""
    return f"original-{hashlib.sha256(content).hexdigest()[:32]}.txt"


@SEEN.reported("wrong", "infected bytes are visible")
def infected_bytes_of_a_good_job(world: World) -> str:
    content = b"a" * (1 << 20) + eicar() + b"after the first piece that is read\n"
    place = f"primary/{world.stored.id}/{named(content)}"
    world.put(place, content)
    return place


@SEEN.reported("wrong", "visible, but must not be")
def an_output_of_an_infected_upload(world: World) -> str:
    place = f"secondary/{world.quarantined.id}/{named(b'clean')}"
    world.put(place, b"clean")
    return place


@SEEN.reported("wrong", "visible, but must not be")
def a_result_of_a_rejected_upload(world: World) -> str:
    place = f"primary/{world.rejected.id}/result.json"
    world.put(place, world.result(world.stored).read_bytes())
    return place


@SEEN.reported("wrong", "partial: not the bytes its key names")
def half_an_output(world: World) -> str:
    job = world.accept(world.corpus.text())
    content = world.book.entries[job.id].upload.content
    place = f"primary/{job.id}/{named(content)}"
    world.put(place, content[: len(content) // 2])
    return place


@SEEN.reported("wrong", "not the bytes that were uploaded")
def somebody_elses_bytes(world: World) -> str:
    content = world.output(world.stored).read_bytes()
    job = world.accept(world.corpus.text())
    place = f"primary/{job.id}/{named(content)}"
    world.put(place, content)
    return place


@SEEN.reported("wrong", "an object of an unknown job")
def an_unexpected_object(world: World) -> str:
    place = f"secondary/{new_job_id()}/{named(b'who put it here')}"
    world.put(place, b"who put it here")
    return place


@SEEN.reported("wrong", "an object changed")
def an_output_that_was_written_again(world: World) -> str:
    path = world.output(world.stored)
    path.write_bytes(b"other bytes\n")
    return str(path.relative_to(world.folder))


@SEEN.reported("wrong", "a result without all its outputs")
def a_result_before_its_outputs(world: World) -> str:
    job = world.accept(world.corpus.text())
    result = json.loads(world.result(world.stored).read_text())
    result["outputs"]["original"]["key"] = f"{job.id}/{named(b'to come')}"
    place = f"primary/{job.id}/result.json"
    world.put(place, json.dumps(result).encode())
    return place


@SEEN.reported("wrong", "a result without all its outputs")
def a_result_before_its_last_output(world: World) -> str:
    job = world.accept(world.corpus.text())
    upload = world.book.entries[job.id].upload
    first = world.put_output(OUTPUTS[0], job, upload, Placement.PRIMARY)
    result = json.loads(world.result(world.stored).read_text())
    result["outputs"][OUTPUTS[0]]["key"] = first.key
    result["outputs"][OUTPUTS[1]]["key"] = first.key.replace(*OUTPUTS)
    place = f"primary/{job.id}/result.json"
    world.put(place, json.dumps(result).encode())
    return place


@SEEN.reported("wrong", "a result without a clean certificate")
def a_result_that_was_not_scanned(world: World) -> str:
    job = world.accept(world.corpus.text())
    result = json.loads(world.result(world.stored).read_text())
    result |= {"certificate": None, "outputs": {}}
    place = f"primary/{job.id}/result.json"
    world.put(place, json.dumps(result).encode())
    return place


@SEEN.reported("doubled", "its outcome changed")
def a_second_decision(world: World) -> str:
    path = world.outcome(world.stored)
    path.write_text(path.read_text() + "\n")
    return world.stored.id


@SEEN.reported("doubled", "ended with two digests")
def two_notices_of_different_ends(world: World) -> str:
    world.client.xadd(ENDED, {"id": world.stored.id, "state": "failed", "digest": "0" * 64})
    return world.stored.id


@SEEN.reported("wrong", "its outcome has gone")
def a_decision_that_was_taken_back(world: World) -> str:
    world.outcome(world.stored).unlink()
    return world.stored.id


def away_for_a_look(world: World, path: Path) -> None:
    """It is not there when the watcher looks, and is the same as ever when it looks again."""
    elsewhere = path.rename(world.folder / "elsewhere")
    world.watcher.look()
    elsewhere.rename(path)


@SEEN.reported("wrong", "what was stored has gone")
def an_output_that_was_deleted_and_put_back(world: World) -> str:
    away_for_a_look(world, world.output(world.stored, name=OUTPUTS[1]))
    return world.stored.id


@SEEN.reported("wrong", "what was stored has gone")
def a_result_that_was_deleted_and_put_back(world: World) -> str:
    away_for_a_look(world, world.result(world.failed_over, "secondary"))
    return world.failed_over.id


@SEEN.reported("wrong", "what was stored has gone")
def a_job_that_is_in_both_stores_and_whole_in_none(world: World) -> str:
    copied(world)
    world.result(world.failed_over, "primary").unlink()
    world.output(world.failed_over, "primary", OUTPUTS[1]).unlink()
    away_for_a_look(world, world.output(world.failed_over, "secondary"))
    return world.failed_over.id


@SEEN.reported("wrong", "an outcome of an unknown job")
def a_decision_about_nobody(world: World) -> str:
    job_id = new_job_id()
    world.put(f"staging/outcomes/{job_id}.json")
    return job_id


@pytest.mark.parametrize("planted", SEEN.every.values(), ids=SEEN.every)
def test_what_must_not_be_seen_is_reported(ended, planted):
    ended.watcher.look()
    where = planted.plant(ended)
    ended.watcher.look()
    assert_reported(ended, planted, where)
    told = {**ended.book.lost, **ended.book.doubled, **ended.book.wrong}
    assert [where] == list(told)


def lose(world: World, role: str) -> None:
    root = world.folder / role
    root.rename(root.with_suffix(".away"))
    root.touch()


def copied(world: World) -> None:
    """Home, as a healer brings it; the copy is still there."""
    job_id = world.failed_over.id
    shutil.copytree(world.folder / "secondary" / job_id, world.folder / "primary" / job_id)


def healed(world: World) -> None:
    copied(world)
    shutil.rmtree(world.folder / "secondary" / world.failed_over.id)


HARMLESS: dict[str, Callable[[World], object]] = {
    "canary": lambda world: world.put(f"secondary/{CANARIES}/host"),
    "staging store away": lambda world: lose(world, "staging"),
    "primary away": lambda world: lose(world, "primary"),
    "copied": copied,
    "healed": healed,
    "same notice again": lambda world: world.client.xadd(
        ENDED, world.client.xrange(ENDED, count=1)[0][1]
    ),
}


@pytest.mark.parametrize("change", HARMLESS.values(), ids=HARMLESS)
def test_what_may_happen_is_not_reported(ended, change):
    ended.watcher.look()
    change(ended)
    ended.watcher.look()
    assert ({}, {}, {}) == (ended.book.lost, ended.book.doubled, ended.book.wrong)


def test_a_job_that_comes_home_between_two_listings_is_not_reported(ended, monkeypatch):
    class Moving(Folder):
        """It is looked at just before the job comes, and the other one just after it went."""

        def states(self, below: str = "") -> dict[str, State]:
            found = super().states(below)
            if not (self.root / ended.failed_over.id).exists():
                healed(ended)
            return found

    ended.watcher.look()
    moving = {**ended.watcher.shelves, "primary": Moving(ended.folder / "primary")}
    monkeypatch.setattr(ended.watcher, "shelves", moving)
    ended.watcher.look()
    assert {} == ended.book.wrong


def test_it_looks_by_itself_all_through(ended):
    ended.watcher.start()
    assert eventually(lambda: ended.watcher.looks)
    where = an_unexpected_object(ended)
    assert eventually(lambda: where in ended.book.wrong)
    ended.watcher.stop()


def test_a_watcher_that_breaks_is_reported(ended, monkeypatch):
    monkeypatch.setattr(ended.watcher, "look", lambda: 1 / 0)
    ended.watcher.start()
    assert eventually(lambda: "watcher" in ended.book.wrong)
    assert "it broke: ZeroDivisionError('division by zero')" == ended.book.wrong["watcher"]
