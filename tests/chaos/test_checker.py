"""The checker finds every job that did not end as it must, and calls what is wrong by its name."""

from __future__ import annotations

import json

import pytest

from chaos.planting import Plants, assert_reported
from chaos.world import OUTPUTS, World
from uploadmill.backends.ledger.names import JOB

JOBS = Plants()


def test_jobs_that_ended_as_they_should_leave_nothing_to_report(ended):
    ended.watcher.look()
    ended.check()
    assert ({}, {}, {}) == (ended.book.lost, ended.book.doubled, ended.book.wrong)


@JOBS.reported("lost", "no outcome; step pin, envelope: True")
def a_job_nobody_works_on(world: World) -> str:
    return world.accept(world.corpus.text()).id


@JOBS.reported("lost", "no outcome; no record, envelope: True")
def a_job_that_redis_forgot(world: World) -> str:
    job = world.accept(world.corpus.text())
    world.client.delete(JOB + job.id)
    return job.id


@JOBS.reported("lost", "no outcome; no record, envelope: False")
def a_job_without_any_trace(world: World) -> str:
    job = world.accept(world.corpus.text())
    world.client.delete(JOB + job.id)
    (world.folder / "staging" / "envelopes" / f"{job.id}.json").unlink()
    return job.id


@JOBS.reported("lost", "decided, but open in the ledger")
def a_decision_that_the_ledger_never_heard_of(world: World) -> str:
    world.client.hset(JOB + world.stored.id, "state", "open")
    return world.stored.id


@JOBS.reported("doubled", "the ledger has another end")
def a_second_end(world: World) -> str:
    world.client.hset(JOB + world.stored.id, "digest", "0" * 64)
    return world.stored.id


@JOBS.reported("wrong", "failed, not {<JobState.REJECTED")
def a_wrong_end(world: World) -> str:
    path = world.outcome(world.rejected)
    path.write_text(json.dumps(json.loads(path.read_text()) | {"state": "failed"}))
    return world.rejected.id


@JOBS.reported("wrong", "a reader is told something else")
def an_end_that_readers_are_not_told(world: World) -> str:
    world.client.delete(JOB + world.stored.id)
    path = world.outcome(world.stored)
    document = json.loads(path.read_text())
    document["result"]["state"] = "rejected"
    path.write_text(json.dumps(document))
    return world.stored.id


@JOBS.reported("wrong", "has other bytes than its outcome says")
def a_wrong_sha256(world: World) -> str:
    path = world.output(world.stored)
    path.write_bytes(b"x" * path.stat().st_size)
    return world.stored.id


@JOBS.reported("wrong", "has other bytes than its outcome says")
def half_an_output(world: World) -> str:
    path = world.output(world.stored)
    path.write_bytes(path.read_bytes()[:-1])
    return world.stored.id


@JOBS.reported("wrong", "has other bytes than its outcome says")
def half_of_the_last_output(world: World) -> str:
    path = world.output(world.stored, name=OUTPUTS[1])
    path.write_bytes(path.read_bytes()[:-1])
    return world.stored.id


@JOBS.reported("wrong", "primary has ['")
def outputs_that_are_parted(world: World) -> str:
    path = world.output(world.stored, name=OUTPUTS[1])
    world.put(f"secondary/{world.stored.id}/{path.name}", path.read_bytes())
    path.unlink()
    return world.stored.id


@JOBS.reported("wrong", "primary has [], not [")
def outputs_in_the_wrong_place(world: World) -> str:
    primary, secondary = (world.folder / role for role in ("primary", "secondary"))
    (primary / world.stored.id).rename(secondary / world.stored.id)
    return world.stored.id


@JOBS.reported("wrong", "primary has [], not [")
def a_record_that_names_the_wrong_place(world: World) -> str:
    world.client.hset(JOB + world.failed_over.id, "location", "primary")
    return world.failed_over.id


@JOBS.reported("wrong", "primary has ['")
def a_missing_output(world: World) -> str:
    world.output(world.stored).unlink()
    return world.stored.id


@JOBS.reported("wrong", "primary has ['")
def a_missing_result(world: World) -> str:
    world.result(world.stored).unlink()
    return world.stored.id


@JOBS.reported("wrong", "thumb-0.jpg'], not []")
def an_output_that_no_outcome_names(world: World) -> str:
    world.put(f"secondary/{world.stored.id}/thumb-0.jpg")
    return world.stored.id


@JOBS.reported("wrong", "original-0.txt'], not []")
def an_output_of_a_rejected_job(world: World) -> str:
    world.put(f"primary/{world.rejected.id}/original-0.txt")
    return world.rejected.id


@JOBS.reported("wrong", "in quarantine: []")
def infected_bytes_that_nobody_kept(world: World) -> str:
    (copy,) = (world.folder / "quarantine" / world.quarantined.id).iterdir()
    copy.unlink()
    return world.quarantined.id


@JOBS.reported("wrong", "in quarantine: ['x']")
def a_stored_job_in_quarantine(world: World) -> str:
    world.put(f"quarantine/{world.stored.id}/x")
    return world.stored.id


@JOBS.reported("wrong", "1 staged object(s) left")
def staged_bytes_of_a_stored_job(world: World) -> str:
    world.put(f"staging/uploads/{world.stored.id}/x")
    return world.stored.id


@JOBS.reported("wrong", "rejected, and its staged bytes are gone")
def staged_bytes_that_went_too_early(world: World) -> str:
    (world.folder / "staging" / world.rejected.staged.key).unlink()
    return world.rejected.id


@JOBS.reported("wrong", "collected, and its outcome is left")
def an_outcome_that_was_to_be_collected(world: World) -> str:
    world.book.entries[world.stored.id].outlasting = frozenset(
        f"primary/{path.relative_to(world.folder / 'primary')}"
        for path in (world.folder / "primary" / world.stored.id).iterdir()
    )
    return world.stored.id


@JOBS.reported("wrong", "collected, and there is ['primary/")
def outputs_that_were_to_be_collected(world: World) -> str:
    world.book.entries[world.stored.id].outlasting = frozenset()
    return world.stored.id


@pytest.mark.parametrize("planted", JOBS.every.values(), ids=JOBS.every)
def test_a_job_that_did_not_end_as_it_must_is_reported(ended, planted):
    where = planted.plant(ended)
    ended.check()
    assert_reported(ended, planted, where)
