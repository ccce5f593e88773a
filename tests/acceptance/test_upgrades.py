"""Workers are replaced by newer ones under load, and both kinds live side by side for a while."""

from __future__ import annotations

import json
from contextlib import closing
from typing import Any

import redis
from pictures import photograph
from services.mill import PIPELINES, STEADY, Mill
from services.next_version import NEXT_RECORD
from services.saved_records import STEPS as SAVED
from services.saved_records import lay_down
from services.waiting import eventually

from uploadmill.backends.ledger.ledger import Ledger
from uploadmill.backends.ledger.reconcile import reconcile
from uploadmill.backends.ledger.settle import Settler
from uploadmill.backends.storage import stores_from
from uploadmill.job import JobResult, JobState
from uploadmill.pipeline import SHIPPED, Plan

STEPS = list(Plan.of("photo", SHIPPED["photo"]).names)

#: Seconds in which a worker that stops must have given its jobs back; a lease here is far longer.
GIVE_BACK = 10.0

#: A pipeline that some workers here do not have.
HASTY = {"hasty": PIPELINES["hasty"]}


def pipelines(*steps: Any) -> dict[str, str]:
    """The variables that make ``shop`` of these steps, and a lease that nobody loses."""
    return {**STEADY, "UPLOADMILL_PIPELINES": json.dumps({"shop": {"steps": steps}})}


def records(mill: Mill) -> list[dict[str, str]]:
    """The records of all open jobs."""
    with redis.Redis.from_url(mill.environment.settings.redis_url, decode_responses=True) as client:
        return [client.hgetall(f"um:job:{job}") for job in client.zrange("um:open", 0, -1)]


def blamed(record: dict[str, str]) -> list[str]:
    """The counters by which a job may fail one day."""
    return [
        name
        for name, value in record.items()
        if name.startswith(("attempts:", "crash:")) or (name == "lost_tokens" and value)
    ]


def test_rolling_restarts_under_load_give_every_job_back_and_blame_none(mill):
    # Given more jobs than three workers, one after another, bring to their end
    jobs = [mill.uploads.enqueue(photograph(200, 150), pipeline="photo").id for _ in range(12)]
    for _ in range(3):
        mill.hold("resize", times=2)
        worker = mill.start(faulty=True, concurrency=2, extra=STEADY)
        assert eventually(lambda: mill.struck)
        assert 2 == len(held(mill))

        # When one is told to stop in the middle of two of them
        mill.stop_in_mid_step(worker)

        # Then it gives both back after the step that runs, within seconds
        assert eventually(lambda: not held(mill), GIVE_BACK)
        assert eventually(lambda worker=worker: not worker.running)
        left = records(mill)
        assert {"pin", "optimize"} == {record["step"] for record in left}
        assert [] == [name for record in left for name in blamed(record)]

    # And a last one does the rest, without a step of any job being run twice
    mill.start(faulty=True, concurrency=2, extra=STEADY)
    assert [JobState.STORED] * 12 == [mill.wait(job).state for job in jobs]
    assert {"pin": 12, "commit": 12} == {step: mill.entered(step) for step in ("pin", "commit")}


def held(mill: Mill) -> list[str]:
    """The tokens of those who work on a job."""
    return [record["token"] for record in records(mill) if record["token"]]


def test_versions_side_by_side_keep_plans_and_leave_what_they_do_not_know(mill):
    # Given a job that a newer version has pinned, standing before a step which only that knows
    thumb = {"step": "resize", "thumb": "64x64"}
    stamped = pipelines("validate", "scan", thumb, "stamp")
    newer = mill.start(faulty=True, app="services.newer_app", extra=stamped)
    mill.hold("resize")
    pinned = mill.uploads.enqueue(photograph(400, 300), pipeline="shop")
    assert eventually(lambda: mill.struck)
    mill.stop_in_mid_step(newer)
    assert eventually(lambda: not newer.running)

    # And another one of a pipeline which the older version has not
    older = mill.start(faulty=True, extra=pipelines("validate", "scan", thumb))
    unknown = mill.uploads.enqueue(photograph(400, 300), pipeline="hasty")
    for code in (b"code=unknown_step", b"code=unknown_pipeline"):
        assert eventually(lambda code=code: code in older.server.log.read_bytes())
    assert [[], []] == [blamed(record) for record in records(mill)]

    # When a newest version comes beside it, in which "shop" has another box
    small = {"step": "resize", "small": "100x75"}
    steps = {"shop": {"steps": ["validate", "scan", small, "stamp"]}, **HASTY}
    newest = {**STEADY, "UPLOADMILL_PIPELINES": json.dumps(steps)}
    mill.start(faulty=True, app="services.newer_app", extra=newest)

    # Then both end there, the first by the plan that it began with
    result = mill.wait(pinned.id)
    assert JobState.STORED == mill.wait(unknown.id).state
    assert (JobState.STORED, True) == (result.state, result.extracted["stamped"])
    assert {"thumb": 64} == {name: output.width for name, output in result.outputs.items()}
    older.stop()
    outputs = mill.run(photograph(400, 300), "shop").outputs
    assert {"small": 100} == {name: output.width for name, output in outputs.items()}


def test_whoever_reconciles_finds_nothing_new_in_jobs_of_record_version_1(mill):
    settings = mill.environment.settings
    jobs = [lay_down(f"v1-{step}", settings) for step in SAVED]
    with closing(Ledger(settings.redis_url, settings.ledger)) as ledger:
        done = reconcile(Settler(ledger, stores_from(settings)))
    assert (len(jobs), 0) == (done.seen, done.reopened)
    assert sorted(jobs) == sorted(json.loads(record["doc"])["id"] for record in records(mill))


def test_jobs_of_record_version_1_go_on_where_they_stood(mill, tmp_path):
    settings, workspace = mill.environment.settings, tmp_path / "workspace"
    jobs = [lay_down(f"v1-{step}", settings, workspace) for step in SAVED]
    mill.start(faulty=True, extra={**STEADY, "UPLOADMILL_WORKER__WORKSPACE": str(workspace)})
    for job in jobs:
        whole(mill.wait(job))
    # Only the one that stood there was pinned.
    assert (1, len(jobs)) == (mill.entered("pin"), mill.entered("commit"))


def test_jobs_of_record_version_1_start_over_on_another_node(mill):
    jobs = [lay_down(f"v1-{step}", mill.environment.settings) for step in SAVED]
    mill.start(faulty=True, extra=STEADY)
    for job in jobs:
        whole(mill.wait(job))
    assert len(jobs) == mill.entered("pin") == mill.entered("commit")


def test_a_record_of_a_newer_version_is_left_for_a_newer_worker(mill):
    job = lay_down("v1-scan", mill.environment.settings)
    key, newer = f"um:job:{job}", str(NEXT_RECORD)
    with redis.Redis.from_url(mill.environment.settings.redis_url, decode_responses=True) as client:
        client.hset(key, "v", newer)
        before = client.hgetall(key)
        present = mill.start(faulty=True)
        # Its wake was sent before that of this other job, and to the only process there is
        assert eventually(lambda: 1 <= int(client.hget(key, "swept")))
        assert JobState.STORED == mill.run(photograph(64, 48)).state
        assert worked_on(before) == worked_on(client.hgetall(key))

        # And when one comes, jobs of both versions end there. The present worker would take the
        # wake of the newer record again, and each time it does the sweeper waits longer
        mill.kill([present])
        mill.start(faulty=True, app="services.newer_app")
        client.zadd("um:open", {job: 0})
        older = lay_down("v1-scan", mill.environment.settings)
        whole(mill.wait(job))
        whole(mill.wait(older))


def worked_on(record: dict[str, str]) -> dict[str, str]:
    """A record without what the sweeper notes."""
    return {name: value for name, value in record.items() if name not in ("swept", "wake")}


def whole(result: JobResult) -> None:
    """Assert that a job ended as if nothing had happened."""
    assert JobState.STORED == result.state
    assert STEPS == [receipt.step for receipt in result.receipts]
    assert {"large", "medium", "thumb"} == set(result.outputs)
