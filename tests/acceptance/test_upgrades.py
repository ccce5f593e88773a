"""Workers are replaced by newer ones under load, and both kinds live side by side for a while."""

from __future__ import annotations

import json
import os
import signal
import time
from contextlib import closing
from typing import Any

import redis
from pictures import photograph
from services.mill import PIPELINES, STEADY, Mill
from services.saved_records import STEPS as SAVED
from services.saved_records import lay_down
from services.waiting import eventually

from uploadmill.backends.ledger.ledger import Ledger
from uploadmill.backends.ledger.reconcile import reconcile
from uploadmill.backends.ledger.record import RECORD_VERSION
from uploadmill.backends.ledger.settle import Settler
from uploadmill.backends.storage import stores_from
from uploadmill.job import JobResult, JobState
from uploadmill.pipeline import SHIPPED, Plan
from uploadmill.worker.embedded.environment import Worker

STEPS = list(Plan.of("photo", SHIPPED["photo"]).names)

#: A pipeline that some workers here do not have.
HASTY = {"hasty": PIPELINES["hasty"]}

#: Seconds in which a worker that is told to stop must have given back what it holds: its slowest
#: step here takes one, the way out of Celery two; the rest is for a busy machine.
HANDED_BACK = 15.0


def pipelines(*steps: Any) -> dict[str, str]:
    """The variable that makes ``shop`` of these steps."""
    return {"UPLOADMILL_PIPELINES": json.dumps({"shop": {"steps": steps}})}


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


def stop_in_mid_step(mill: Mill, worker: Worker) -> None:
    """Tell a worker to stop while it resizes something, and wait until it has ended."""
    armed = mill.faults / "armed"
    armed.write_text("pause resize")  # by hand, because arming would forget what was run
    assert eventually(lambda: not armed.exists() or not armed.read_text(), 30)
    began = time.monotonic()
    os.kill(worker.pid, signal.SIGTERM)
    assert eventually(lambda: not worker.running)
    assert time.monotonic() - began < HANDED_BACK


def test_rolling_restarts_under_load_give_every_job_back_and_blame_none(mill):
    worker = mill.start(faulty=True, concurrency=2, extra=STEADY)
    jobs = [mill.uploads.enqueue(photograph(200, 150), pipeline="photo").id for _ in range(30)]
    given_back = 0
    for _ in range(3):
        stop_in_mid_step(mill, worker)
        left = records(mill)
        # Whatever it held may be taken up at once, and nobody is to blame
        assert [""] * len(left) == [record["token"] for record in left]
        assert [] == [name for record in left for name in blamed(record)]
        given_back += len([record for record in left if record["step"] != "pin"])
        worker = mill.start(faulty=True, concurrency=2, extra=STEADY)

    assert [JobState.STORED] * 30 == [mill.uploads.wait(job, timeout=60).state for job in jobs]
    assert given_back >= 3
    # No step of any job was run twice.
    assert {"pin": 30, "commit": 30} == {step: mill.entered(step) for step in ("pin", "commit")}


def test_versions_side_by_side_keep_plans_and_leave_what_they_do_not_know(mill):
    # Given a job that a newer version has pinned, standing before a step which only that knows
    thumb = {"step": "resize", "thumb": "64x64"}
    stamped = pipelines("validate", "scan", thumb, "stamp")
    newer = mill.start(faulty=True, app="services.newer_app", extra=stamped)
    mill.arm("pause resize")
    pinned = mill.uploads.enqueue(photograph(400, 300), pipeline="shop")
    assert eventually(lambda: "resize" in mill.begun)
    newer.stop()

    # And another one of a pipeline which the older version has not
    older = mill.start(faulty=True, extra=pipelines("validate", "scan", thumb))
    unknown = mill.uploads.enqueue(photograph(400, 300), pipeline="hasty")
    for code in (b"code=unknown_step", b"code=unknown_pipeline"):
        assert eventually(lambda code=code: code in older.server.log.read_bytes())
    assert [[], []] == [blamed(record) for record in records(mill)]

    # When a newest version comes beside it, in which "shop" has another box
    small = {"step": "resize", "small": "100x75"}
    steps = {"shop": {"steps": ["validate", "scan", small, "stamp"]}, **HASTY}
    newest = {"UPLOADMILL_PIPELINES": json.dumps(steps)}
    mill.start(faulty=True, app="services.newer_app", extra=newest)

    # Then both end there, the first by the plan that it began with
    result = mill.uploads.wait(pinned.id, timeout=30)
    assert JobState.STORED == mill.uploads.wait(unknown.id, timeout=30).state
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
        whole(mill.uploads.wait(job, timeout=30))
    # Only the one that stood there was pinned.
    assert (1, len(jobs)) == (mill.entered("pin"), mill.entered("commit"))


def test_jobs_of_record_version_1_start_over_on_another_node(mill):
    jobs = [lay_down(f"v1-{step}", mill.environment.settings) for step in SAVED]
    mill.start(faulty=True, extra=STEADY)
    for job in jobs:
        whole(mill.uploads.wait(job, timeout=30))
    assert len(jobs) == mill.entered("pin") == mill.entered("commit")


def test_a_record_of_a_newer_version_is_left_for_a_newer_worker(mill):
    job = lay_down("v1-scan", mill.environment.settings)
    key, newer = f"um:job:{job}", str(RECORD_VERSION + 1)
    with redis.Redis.from_url(mill.environment.settings.redis_url, decode_responses=True) as client:
        client.hset(key, "v", newer)
        before = client.hgetall(key)
        mill.start(faulty=True)
        # Its wake was sent before that of this other job, and to the only process there is
        assert eventually(lambda: 1 <= int(client.hget(key, "swept")))
        assert JobState.STORED == mill.run(photograph(64, 48)).state
        assert worked_on(before) == worked_on(client.hgetall(key))

        client.hset(key, "v", RECORD_VERSION)
        client.zadd("um:open", {job: 0})
        whole(mill.uploads.wait(job, timeout=30))


def worked_on(record: dict[str, str]) -> dict[str, str]:
    """A record without what the sweeper notes."""
    return {name: value for name, value in record.items() if name not in ("swept", "wake")}


def whole(result: JobResult) -> None:
    """Assert that a job ended as if nothing had happened."""
    assert JobState.STORED == result.state
    assert STEPS == [receipt.step for receipt in result.receipts]
    assert {"large", "medium", "thumb"} == set(result.outputs)
