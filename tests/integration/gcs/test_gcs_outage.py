"""Google Cloud Storage out of reach; and processes, threads and memory of those who use it."""

import os
import socket
import subprocess
import sys
import threading
import time
from contextlib import closing, suppress

import pytest
from services.canned import Reply, canned
from services.fake_gcs import fake_gcs
from services.forked import exit_code_within, fork
from services.google_stores import BUCKET, assert_unavailable, every_call, read_all
from services.proxy import proxy
from services.waiting import eventually

from uploadmill.backends.storage.contract_ground import MadeUp, digest
from uploadmill.backends.storage.gcs import GoogleStorage
from uploadmill.backends.storage.gcs_client import GoogleAccess
from uploadmill.backends.storage.hashing import HashingReader
from uploadmill.errors import (
    StorageUnavailable,
)


def test_a_missing_bucket_is_an_outage_and_no_missing_object(google_store):
    assert_unavailable(google_store(bucket="there-is-none"), retry_here=False)


def test_a_refused_connection_may_pass(google_store):
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        storage = google_store(endpoint_url=f"http://127.0.0.1:{closed.getsockname()[1]}")

        assert_unavailable(storage, retry_here=True)


def test_tls_to_a_server_without_is_not_tried_again(google_store, google):
    storage = google_store(endpoint_url=google.endpoint.replace("http:", "https:"))

    assert_unavailable(storage, retry_here=False, calls=["put", "ping"])


def test_a_frozen_server_is_given_up_in_time_and_found_again(tmp_path):
    with fake_gcs(tmp_path) as server:
        server.make_bucket(BUCKET)
        storage = GoogleStorage(BUCKET, endpoint_url=server.endpoint, read_timeout=0.5)
        with closing(
            GoogleStorage(BUCKET, endpoint_url=server.endpoint, read_timeout=60)
        ) as patient:
            patient.put("a", b"x")
        server.freeze()
        try:
            began = time.monotonic()
            calls = ["put", "open", "stat", "ping"]
            assert_unavailable(storage, retry_here=True, calls=calls)
            assert 4 * 0.5 <= time.monotonic() - began < 4 * 2.5
        finally:
            server.thaw()

        assert eventually(lambda: reads(storage, "a"))
        server.stop()
        assert_unavailable(storage, retry_here=True, calls=["put", "open", "ping"])
        storage.close()


def reads(storage, key):
    """Whether the object can be read by now."""
    with suppress(StorageUnavailable):
        return read_all(storage, key)


@pytest.mark.parametrize("status", [500, 503, 429, 408])
def test_nobody_below_us_tries_again(google_store, status):
    with canned(lambda *_: Reply(status)) as server:
        storage = google_store(endpoint_url=server.endpoint)
        for call in every_call(storage).values():
            before = len(server.requests)
            with pytest.raises(StorageUnavailable):
                call()
            assert len(server.requests) - before <= 2, "one request, or one for each of two keys"
        storage.close()


def test_a_connection_cut_in_mid_body_is_no_end_of_the_object(google_store, google):
    google_store().put("cut", MadeUp(3 << 20))
    with proxy(google.port) as between:
        storage = google_store(endpoint_url=between.endpoint)
        between.cut_after = 1 << 20

        with storage.open("cut") as reader:
            got = reader.read(1000)
            with pytest.raises(StorageUnavailable) as caught:
                HashingReader(reader).drain()
        assert MadeUp(3 << 20).part(0, len(got)) == got
        assert caught.value.retry_here

        between.cut_after = None
        assert MadeUp(3 << 20).sha256 == digest(storage, "cut")
        storage.delete("cut")
        storage.close()


def test_a_body_that_stalls_is_given_up(google_store, google):
    google_store(chunk_size=32 << 20, read_timeout=60.0).put("stall", MadeUp(30 << 20))
    with proxy(google.port) as between:
        storage = google_store(endpoint_url=between.endpoint, read_timeout=2.0)

        with storage.open("stall") as reader:
            reader.read(10)
            between.black_hole = True
            with pytest.raises(StorageUnavailable) as caught:
                HashingReader(reader).drain()
        assert caught.value.retry_here
        storage.close()
    google_store().delete("stall")


def test_a_reset_before_the_answer_may_pass(google_store, google):
    with proxy(google.port) as between:
        between.refusing = True
        storage = google_store(endpoint_url=between.endpoint)
        assert_unavailable(storage, retry_here=True)
        storage.close()


def test_a_server_that_stops_reading_is_given_up(google_store, google):
    """A body is sent by pieces, each within the time-out; what is slow but moves is not cut."""
    with socket.create_server(("127.0.0.1", 0)) as silent:
        storage = google_store(
            endpoint_url=f"http://127.0.0.1:{silent.getsockname()[1]}",
            chunk_size=32 << 20,
            read_timeout=0.5,
        )
        began = time.monotonic()
        with pytest.raises(StorageUnavailable) as caught:
            storage.put("a", MadeUp(31 << 20))
        assert caught.value.retry_here
        assert time.monotonic() - began < 10
        storage.close()


def test_a_fork_gets_connections_of_its_own(google_store):
    storage = google_store()
    storage.put("forked", b"x" * 1000)
    session = storage._bucket.connection.session

    children = [fork(lambda: child_works(storage, session)) for _ in range(3)]
    for _ in range(20):
        assert b"x" * 1000 == read_all(storage, "forked")

    assert [0, 0, 0] == [os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) for child in children]
    assert session is storage._bucket.connection.session
    storage.delete("forked")


def test_a_fork_while_another_thread_signs_in_does_not_hang(google_store, monkeypatch):
    storage = google_store()
    started, go_on = threading.Event(), threading.Event()
    credentials = GoogleAccess.credentials

    def slow(self):
        started.set()
        go_on.wait(10)
        return credentials(self)

    monkeypatch.setattr(GoogleAccess, "credentials", slow)
    thread = threading.Thread(target=storage.ping)
    thread.start()
    started.wait(10)
    try:

        def work():
            GoogleAccess.credentials = credentials
            storage.ping()
            return True

        assert 0 == exit_code_within(fork(work), 10)
    finally:
        go_on.set()
        thread.join()


def child_works(storage, parents_session):
    return parents_session is not storage._bucket.connection.session and all(
        read_all(storage, "forked") == b"x" * 1000 for _ in range(20)
    )


def test_threads_share_a_store(google_store):
    storage = google_store(read_timeout=10.0)
    wrong = []

    def work(number):
        content = str(number).encode() * 1000
        for _ in range(5):
            storage.put(f"threads/{number}", content)
            if read_all(storage, f"threads/{number}") != content:
                wrong.append(number)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert [] == wrong
    storage.delete(*(f"threads/{number}" for number in range(8)))


#: Puts, reads and copies an object of 40 MiB; prints the MiB that this added to the process. The
#: emulator hashes all it has at each chunk, so that more would take minutes.
MEASURED = """
import re, sys
from pathlib import Path
from uploadmill.backends.storage.contract_ground import MadeUp, digest
from uploadmill.backends.storage.gcs import GoogleStorage

def most():
    return int(re.search(r"VmHWM:\\s+(\\d+)", Path("/proc/self/status").read_text())[1]) / 1024

storage = GoogleStorage(sys.argv[1], endpoint_url=sys.argv[2], read_timeout=60)
storage.put("warm", b"x" * 1000)
digest(storage, "warm")
before = most()
source = MadeUp(40 << 20)
storage.put("whole", source)
assert digest(storage, "whole") == source.sha256
storage.copy("whole", "whole-copy")
storage.put("whole", source, sha256=source.sha256)
print(most() - before)
storage.close()
"""


def test_a_large_object_is_never_held_whole(tmp_path):
    with fake_gcs(tmp_path) as server:
        server.make_bucket(BUCKET)
        said = subprocess.run(
            [sys.executable, "-c", MEASURED, BUCKET, server.endpoint],
            check=True,
            capture_output=True,
            text=True,
        ).stdout

    assert float(said) < 24, "about 11: a chunk of 8 MiB, and what it takes to send it"
