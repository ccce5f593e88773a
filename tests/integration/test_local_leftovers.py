"""What killed writers leave in a local store, and the collection that finds it."""

import os
import signal
from contextlib import closing
from datetime import UTC, datetime, timedelta

from services.forked import exit_code_within, fork

from uploadmill.backends.ledger.gc import collect_parts
from uploadmill.backends.ledger.gc_report import Broom
from uploadmill.backends.ledger.ledger import Ledger
from uploadmill.backends.ledger.settle import Settler
from uploadmill.backends.storage.local import LocalStorage
from uploadmill.backends.storage.local_writing import LocalWriter
from uploadmill.backends.storage.memory import MemoryStorage
from uploadmill.backends.storage.roles import Stores
from uploadmill.settings import LedgerSettings


def killed_between_facts_and_object(storage, key):
    """A writer that dies when its facts are on disk and its object is not there yet."""

    def work():
        LocalWriter._publish = lambda *_, **__: os.kill(os.getpid(), signal.SIGKILL)
        storage.put(key, b"bytes")

    assert -signal.SIGKILL == exit_code_within(fork(work), 30)


def test_the_collection_forgets_old_facts_and_no_living_objects(tmp_path, redis_url):
    storage = LocalStorage(tmp_path, name="staging")
    storage.put("uploads/x/here", b"bytes", metadata={"of": "here"})
    killed_between_facts_and_object(storage, "uploads/x/gone")
    killed_between_facts_and_object(storage, "theirs/gone")
    others = map(MemoryStorage, ("primary", "secondary", "quarantine"))
    with closing(Ledger(redis_url, LedgerSettings())) as ledger:
        settler = Settler(ledger, Stores(storage, *others, prefix="media/"))
        broom = Broom(settler, datetime.now(UTC) + timedelta(hours=23), dry_run=False)
        collect_parts(broom, storage, "uploads/")
        assert {} == broom.report.piles

        broom.now += timedelta(hours=2)
        collect_parts(broom, storage, "uploads/")

    assert ["uploads/x/gone"] == broom.report.piles["parts"].sample
    assert ["theirs/gone"] == [upload.key for upload in storage.unfinished()]
    assert {"of": "here"} == dict(storage.stat("uploads/x/here").metadata)
