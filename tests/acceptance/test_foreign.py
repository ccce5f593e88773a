"""Two pipelines over one object that somebody else has staged: two jobs, each with its bytes."""

from __future__ import annotations

from contextlib import closing

import pytest
from pictures import photograph
from services.mill import named_by
from services.waiting import eventually

from uploadmill.backends.storage import stores_from
from uploadmill.job import JobState

#: Where a browser has put it, by a form that the web app gave out.
KEY = "uploads/inbox/holiday.jpg"

OUTPUTS = {"photo": {"large", "medium", "thumb"}, "shop": {"thumb"}}


@pytest.mark.parametrize("killed", [False, True], ids=["undisturbed", "worker killed"])
def test_two_pipelines_over_one_foreign_object_run_side_by_side(mill, killed):
    content = photograph(400, 300)
    with closing(stores_from(mill.environment.settings).staging) as staging:
        staging.put(KEY, content, content_type="image/jpeg")

    worker = mill.start(faulty=True, concurrency=2)
    mill.hold("resize", times=2)
    jobs = {name: mill.uploads.enqueue(staged=KEY, pipeline=name) for name in OUTPUTS}
    assert eventually(lambda: mill.struck)  # both are at work
    if killed:
        mill.kill([worker])
        mill.start(faulty=True, concurrency=2)
    mill.let_go()

    for name, job in jobs.items():
        result = mill.wait(job.id)
        assert (JobState.STORED, OUTPUTS[name]) == (result.state, set(result.outputs))
        assert named_by(result) == [key for key in mill.files("primary") if job.id in key]
        assert 1 == mill.begun_of(job.id).count("pin")
        assert eventually(lambda job=job: [] == left_of(mill, job.id))
        # Asked again, it is the same job, which has ended.
        assert job.id == mill.uploads.enqueue(staged=KEY, pipeline=name).id
    assert content == mill.read("staging", KEY)
    assert (4 if killed else 2) == mill.entered("resize")


def left_of(mill, job_id: str) -> list[str]:
    """What the staging store still has of a job, beside how it ended."""
    kept = f"outcomes/{job_id}.json"
    return [key for key in mill.files("staging") if job_id in key and key != kept]
