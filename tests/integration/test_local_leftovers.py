"""What killed writers leave in a local store, and the collection that finds it."""

import os
import signal
from contextlib import closing
from datetime import UTC, datetime, timedelta

from services.forked import exit_code_within, fork
from services.shared_store import broken_keys, shared_keys

from uploadmill.backends.ledger.decisions import upload_key
from uploadmill.backends.ledger.gc import collect_parts
from uploadmill.backends.ledger.gc_report import Broom
from uploadmill.backends.ledger.ledger import Ledger
from uploadmill.backends.ledger.own_keys import forms
from uploadmill.backends.ledger.settle import Settler
from uploadmill.backends.storage.local import LocalStorage
from uploadmill.backends.storage.local_writing import LocalWriter
from uploadmill.backends.storage.roles import Stores
from uploadmill.ids import new_job_id, new_nonce
from uploadmill.settings import LedgerSettings
from uploadmill.wire import ENVELOPES, OUTCOMES


def killed_between_facts_and_object(storage, key):
    """A writer that dies when its facts are on disk and its object is not there yet."""

    def work():
        LocalWriter._publish = lambda *_, **__: os.kill(os.getpid(), signal.SIGKILL)
        storage.put(key, b"bytes")

    assert -signal.SIGKILL == exit_code_within(fork(work), 30)


def test_the_collection_forgets_old_facts_and_no_living_objects(tmp_path, redis_url):
    # Given one folder for every role, which a web app uses too, and writers of both killed
    storage = LocalStorage(tmp_path)
    stores = Stores(storage, storage, storage, storage)
    here = upload_key(new_job_id(), new_nonce())
    storage.put(here, b"bytes", metadata={"of": "here"})
    documents = [f"{folder}{new_job_id()}.json" for folder in (ENVELOPES, OUTCOMES)]
    ours, theirs = [*broken_keys(stores), *documents], shared_keys()
    for key in (*ours, *theirs):
        killed_between_facts_and_object(storage, key)
    with closing(Ledger(redis_url, LedgerSettings())) as ledger:
        broom = Broom(
            Settler(ledger, stores), datetime.now(UTC) + timedelta(hours=23), dry_run=False
        )

        def collect_all():
            for each in forms(stores):
                collect_parts(broom, *each)

        # When they are not old enough, nothing goes
        collect_all()
        assert {} == broom.report.piles

        # And when they are, the facts of ours, and of no object that is there
        broom.now += timedelta(hours=2)
        collect_all()

    assert sorted(ours) == sorted(broom.report.piles["parts"].sample)
    assert sorted(theirs) == sorted(upload.key for upload in storage.unfinished())
    assert {"of": "here"} == dict(storage.stat(here).metadata)
