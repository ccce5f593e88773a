"""``uploadmill heal`` and ``recover``, on local stores and a real Valkey."""

from __future__ import annotations

import hashlib
import json
from contextlib import closing
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from services.memory_stores import CONTENT, enqueued, output, storing

from uploadmill.backends.ledger.ledger import Ledger
from uploadmill.backends.ledger.lookup import status
from uploadmill.backends.ledger.names import HEAL
from uploadmill.backends.ledger.settle import Settler
from uploadmill.backends.storage import stores_from
from uploadmill.job import Placement
from uploadmill.settings import Settings
from uploadmill.worker.cli import main

pytestmark = pytest.mark.usefixtures("logging_as_it_was")

SHA256 = hashlib.sha256(CONTENT).hexdigest()


@pytest.fixture
def settler(settings: Settings):
    with closing(Ledger(settings.redis_url, settings.ledger)) as ledger:
        yield Settler(ledger, stores_from(settings))


@pytest.fixture
def job(settler):
    """A job whose outputs are on the secondary."""
    job = enqueued(settler)
    settler.settle(*storing(settler.stores, job, Placement.SECONDARY, SHA256))
    return job


def where(settler, job):
    return status(settler, job.id).result.outputs["original"].store


def run(*arguments: str) -> Result:
    return CliRunner().invoke(main, arguments)


def test_there_may_be_nothing_to_heal(settings):
    assert "Nothing to heal.\n" == run("heal").output


def test_a_dry_run_tells_and_changes_nothing(settler, job):
    told = run("heal", "--dry-run")
    assert 0 == told.exit_code, told.output
    assert "1  copied  11 B" in told.output
    assert "Nothing was changed.\n" in told.output
    assert "secondary" == where(settler, job)


def test_a_job_is_brought_home_and_its_copy_removed_after_the_grace(
    settler, job, settings, monkeypatch
):
    found = json.loads(run("heal", "--json").stdout)
    assert (1, len(CONTENT), 0, []) == (
        found["copied"],
        found["bytes"],
        found["cleared"],
        found["unfinished"],
    )
    assert "primary" == where(settler, job)
    assert "on the primary; their copy stays" in run("heal").output

    # When its grace is over
    settler.ledger.redis.zadd(HEAL, {job.id: 0})
    assert "removed" in run("heal").output
    assert [] == [path for path in Path("secondary").glob("*/*") if path.is_file()]
    assert 2 == len(list(Path("primary", job.id).iterdir()))


def test_a_store_that_is_out_and_damaged_bytes_are_said(settler, job):
    primary = Path("primary")
    primary.touch()  # a file where the store's folder would be
    refused = run("heal")
    assert 1 == refused.exit_code
    assert "Not finished" in refused.output
    primary.unlink()

    settler.stores.secondary.put(output(settler.stores, job, SHA256).key, b"HELLO BYTES")
    damaged = run("heal")
    assert 1 == damaged.exit_code
    assert "1  damaged" in damaged.output
    assert "secondary" == where(settler, job)


def test_what_the_primary_does_not_take_is_said_and_stays(settler, job, monkeypatch):
    monkeypatch.setenv("UPLOADMILL_PRIMARY__ALLOWED_EXTENSIONS", '["json", "png"]')

    refused = run("heal")

    assert 1 == refused.exit_code
    assert "1  refused" in refused.output
    assert "secondary" == where(settler, job)
    assert 1 == json.loads(run("heal", "--json").stdout)["refused"]


def test_recover_lets_an_emptied_redis_know_what_is_to_be_healed(settler, job):
    settler.ledger.redis.flushall()
    recovered = run("recover")
    assert 0 == recovered.exit_code, recovered.output
    assert "stranded_jobs_found jobs=1" in recovered.stderr
    assert [job.id] == settler.ledger.redis.zrange(HEAL, 0, -1)


def test_recover_does_its_other_work_without_the_secondary(settler, settings):
    Path("secondary").touch()
    recovered = run("recover")
    assert 0 == recovered.exit_code, recovered.output
    assert "secondary_not_looked_through" in recovered.stderr


def test_a_worker_goes_through_the_secondary_only_where_redis_may_have_forgotten(settler, job):
    def by_a_worker() -> list[str]:
        recovered = run("recover", "--unless-within", "0")
        assert 0 == recovered.exit_code, recovered.output
        return settler.ledger.redis.zrange(HEAL, 0, -1)

    # Given a secondary that does not answer, and a Redis that knows nothing
    settler.ledger.redis.flushall()
    Path("secondary").rename("aside")
    Path("secondary").touch()
    assert [] == by_a_worker()

    # When it answers again, then it is gone through to the end
    Path("secondary").unlink()
    Path("aside").rename("secondary")
    assert [job.id] == by_a_worker()

    # And not each time; but by hand it is
    settler.ledger.redis.delete(HEAL)
    assert [] == by_a_worker()
    assert 0 == run("recover").exit_code
    assert [job.id] == settler.ledger.redis.zrange(HEAL, 0, -1)


def test_a_worker_heals_what_is_due_and_says_so_in_its_log(settler, job):
    done = run("heal", "--in-turn")
    assert 0 == done.exit_code, done.output
    assert f"healed job={job.id} outputs=1" in done.stderr
    assert "" == done.stdout
    assert "primary" == where(settler, job)
