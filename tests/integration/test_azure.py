"""Azure Blob on a real server (Azurite): the contract, and what its failures are translated to."""

import base64
import contextlib
import hashlib
import os
import socket
import subprocess
import sys
import threading
import time
from functools import partial
from urllib.parse import parse_qs, urlsplit

import pytest
from azure.storage.blob import UserDelegationKey
from services.azurite import Azurite
from services.canned import Reply, canned
from services.proxy import proxy
from services.remote_stores import (
    OF_VERSIONS,
    all_unavailable,
    assert_contract,
    closed_at_end,
    every_call,
)
from services.waiting import eventually

from uploadmill.backends.storage.azure import AzureStorage
from uploadmill.backends.storage.azure_signing import AzureSigner
from uploadmill.backends.storage.azure_upload import BlockUpload
from uploadmill.backends.storage.contract import run_contract
from uploadmill.backends.storage.contract_ground import MadeUp, digest
from uploadmill.backends.storage.contract_put import METADATA
from uploadmill.backends.storage.features import Feature
from uploadmill.backends.storage.hashing import HashingReader
from uploadmill.backends.storage.opening import open_storage
from uploadmill.backends.storage.sources import CHUNK
from uploadmill.backends.storage.unfinished import KeepsParts
from uploadmill.errors import (
    InvalidKey,
    ObjectChanged,
    ObjectExists,
    ObjectNotFound,
    SizeLimitExceeded,
    StorageUnavailable,
    Unsupported,
)

CONTAINER = "uploadmill-tests"

#: Bytes of a block here: an object above it is large.
PART = 300_000

#: Azurite keeps no versions; Azure has no forms that limit a size, and no access of one object.
NOT_OFFERED = OF_VERSIONS | {
    "a_presigned_upload_makes_the_object",
    "a_presigned_upload_refuses_what_was_not_agreed",
    "access_levels_are_kept",
}

#: Checks that Azurite 3.37 is known to get wrong: none.
SERVER_FAULTS: set[str] = set()

SECRETS = ("mill-key", base64.b64encode(b"mill-key").decode()[:8], "127.0.0.1", "sig=", "://")


@pytest.fixture
def server(azure_server):
    """The session's Azurite, which has the container :data:`CONTAINER`."""
    return azure_server


@pytest.fixture
def store(server):
    """Makes stores; all are closed at the end."""
    with closed_at_end(partial(new_store, server)) as make:
        yield make


def new_store(server: Azurite, **options) -> AzureStorage:
    defaults = {
        "base_path": "made",
        "name": "primary",
        "account_url": server.account_url,
        "access_key": server.access_key,
        "read_timeout": 4.0,
        "part_size": PART,
        "read_size": 200_000,
    }
    return AzureStorage(options.pop("container", CONTAINER), **defaults | options)


def assert_unavailable(storage, **how):
    all_unavailable(every_call(storage, large=2 * PART), SECRETS, **how)


# -- the contract ----------------------------------------------------------------------------


def test_azure_keeps_the_contract_and_leaves_nothing(store):
    storage = store(base_path="contract", page_size=100)

    results = run_contract(storage, large=PART + 1000, many=150)

    assert_contract(results, faults=SERVER_FAULTS, lacking=NOT_OFFERED)
    assert [] == list(storage.list())


def test_what_azure_lacks_is_known_without_asking(store):
    storage = store()

    assert {Feature.VERSIONS, Feature.PRESIGNED_UPLOADS, Feature.ACCESS_LEVELS} == set(
        storage.lacks
    )
    assert not isinstance(storage, KeepsParts)


def test_a_url_opens_it(server):
    url = f"azure://{CONTAINER}/by-url?account_url={server.account_url}"
    storage = open_storage(url, access_key=server.access_key)
    try:
        storage.put("a", b"x")
        assert b"x" == storage.read("a", 1)
        storage.delete("a")
    finally:
        storage.close()


def test_the_prefix_is_a_wall(store):
    inside, outside = store(), store(base_path="")
    outside.put("made-elsewhere/a", b"x")
    inside.put("a", b"x")

    assert ["a"] == [stat.key for stat in inside.list()]
    assert {"made/a", "made-elsewhere/a"} <= {stat.key for stat in outside.list("made")}
    outside.delete("made-elsewhere/a")
    inside.delete("a")


def test_objects_of_others_keep_their_own_metadata(store):
    storage = store()
    theirs = {"Percent_mSign": "100%25"}
    storage._container.blob("made/others").upload_blob(b"x" * 10, metadata=theirs)

    stat = storage.stat("others")
    copied = store(copy_limit=1).copy("others", "others-copy")

    assert (theirs, None) == (dict(stat.metadata), stat.sha256)
    assert (theirs, None) == (dict(copied.metadata), copied.sha256)
    storage.delete("others", "others-copy")


def test_names_that_no_key_stands_for_are_left_out_of_lists(store):
    storage = store(base_path="strange")
    for name in ("strange/a/..~", "strange//b"):
        storage._container.blob(name).upload_blob(b"x")
    storage.put("good.", b"x")

    assert ["good."] == [stat.key for stat in storage.list()]
    assert ["good."] == [stat.key for stat in storage.list("good.")]
    assert [] == list(storage.list("good.~"))


def test_public_addresses_name_the_blob(store):
    storage = store(cdn_url="https://cdn.test/files")

    assert "https://cdn.test/files/a/b.png" == storage.url("a/b.png")
    assert "https://cdn.test/files/a.~/b" == storage.url("a./b")


def test_requests_are_not_told_to_the_log(store, caplog):
    caplog.set_level("INFO")
    storage = store()

    storage.put("quiet", b"x")
    storage.copy("quiet", "quiet-copy")
    storage.delete("quiet", "quiet-copy")

    assert [] == [record for record in caplog.records if record.name != "urllib3"]


# -- large objects ---------------------------------------------------------------------------


def test_a_large_copy_goes_by_blocks_and_keeps_all(store):
    storage = store(copy_limit=PART, copy_part_size=PART)
    source = MadeUp(2 * PART + 1)
    storage.put("a", source, content_type="a/b", metadata=METADATA, cache_control="no-store")

    stat = storage.copy("a", "b", create_only=True)

    assert ("a/b", "no-store", METADATA, source.sha256) == (
        stat.content_type,
        stat.cache_control,
        dict(stat.metadata),
        stat.sha256,
    )
    assert source.sha256 == digest(storage, "b")
    with pytest.raises(ObjectExists, match="'b'"):
        storage.copy("a", "b", create_only=True)
    storage.delete("a", "b")


@pytest.mark.parametrize("limit", [PART, 1], ids=["at once", "by blocks"])
def test_a_copy_of_a_source_that_changes_says_so(store, monkeypatch, limit):
    storage = store(copy_limit=limit)
    address = AzureSigner.address

    def meanwhile(change):
        signed = lambda *which, **how: (change(), address(*which, **how))[1]  # noqa: E731 (one call)
        monkeypatch.setattr(AzureSigner, "address", signed)

    storage.put("a", b"the first state")
    meanwhile(lambda: storage.put("a", b"another state"))
    with pytest.raises(ObjectChanged, match="'a'"):
        storage.copy("a", "b")

    meanwhile(lambda: storage.delete("a"))
    with pytest.raises(ObjectNotFound, match="'a'"):
        storage.copy("a", "b")
    assert not storage.exists("b")


def test_a_large_source_is_read_once(store):
    storage, source = store(), MadeUp(PART + 1)

    storage.put("once", source)

    assert 1 == source.opened
    storage.delete("once")


def test_more_blocks_than_azure_allows_are_refused(store, monkeypatch):
    monkeypatch.setattr("uploadmill.backends.storage.azure_writing.MAX_BLOCKS", 1)
    storage = store()

    for size, limit in ((PART + 1, None), (PART + 1, 10 * PART)):
        with pytest.raises(SizeLimitExceeded):
            storage.put("too-many", MadeUp(size), max_size=limit)
    assert not storage.exists("too-many")


def test_an_upload_that_another_write_overtook_may_be_tried_again(store, monkeypatch):
    storage, source = store(), MadeUp(PART + 1)
    commit = BlockUpload.commit

    def overtaken(self, options):
        monkeypatch.undo()
        storage.put("overtaken", b"the other write")
        self._next()  # Azure forgets the blocks that were staged before; Azurite keeps them.
        return commit(self, options)

    monkeypatch.setattr(BlockUpload, "commit", overtaken)
    with pytest.raises(StorageUnavailable, match="InvalidBlockList") as caught:
        storage.put("overtaken", source)
    assert caught.value.retry_here
    assert b"the other write" == storage.read("overtaken", 100)

    storage.delete("overtaken")
    monkeypatch.setattr(BlockUpload, "commit", overtaken)
    with pytest.raises(ObjectExists):
        storage.put("overtaken", source, create_only=True)
    storage.delete("overtaken")


def test_bytes_damaged_on_the_way_are_refused_by_the_server(store, monkeypatch):
    storage = store()
    wrong = base64.b64encode(hashlib.md5(b"other").digest()).decode()  # noqa: S324 (Azure's)
    monkeypatch.setattr("azure.storage.blob._shared.policies.encode_base64", lambda _digest: wrong)

    for source in (b"as they were", MadeUp(PART + 1)):
        with pytest.raises(StorageUnavailable, match="Md5Mismatch") as caught:
            storage.put("damaged", source)
        assert caught.value.retry_here
    monkeypatch.undo()
    assert not storage.exists("damaged")


@pytest.mark.skipif(sys.platform != "linux", reason="the peak is read from Linux's /proc")
def test_two_hundred_megabytes_take_little_memory(server, tmp_path):
    program = """
import sys
from pathlib import Path
from uploadmill.backends.storage.azure import AzureStorage
from uploadmill.backends.storage.contract_ground import digest

source, url, container, key = sys.argv[1:]
# Not getrusage: its peak is that of the process that was forked to start this one.
peak = lambda: int(Path("/proc/self/status").read_text().split("VmHWM:")[1].split()[0])
storage = AzureStorage(container, "memory", account_url=url, access_key=key, read_timeout=30)
storage.put("warm", b"x")
storage.read("warm", 1)
before = peak()
stat = storage.put("large", Path(source))
storage.copy("large", "copy")
assert stat.sha256 == digest(storage, "copy")
print((peak() - before) / 1024)
storage.delete("warm", "large", "copy")
storage.close()
"""
    source = tmp_path / "source"
    with source.open("wb") as file:
        file.truncate(200 << 20)
    arguments = [str(source), server.account_url, CONTAINER, server.access_key]
    child = subprocess.run(
        [sys.executable, "-c", program, *arguments], check=True, capture_output=True, text=True
    )

    assert 0 < float(child.stdout) < 48


# -- signed addresses ------------------------------------------------------------------------


class Lender:
    """A service that lends keys, and counts them."""

    def __init__(self):
        self.lent = []

    def get_user_delegation_key(self, start, expiry):
        key = UserDelegationKey()
        key.signed_oid = key.signed_tid = "00000000-0000-0000-0000-000000000000"
        key.signed_start, key.signed_expiry = start.isoformat(), expiry.isoformat()
        key.signed_service, key.signed_version = "b", "2026-06-06"
        key.value = base64.b64encode(b"lent").decode()
        self.lent.append(expiry)
        return key


def test_without_an_account_key_addresses_are_signed_with_a_lent_one(monkeypatch):
    storage = AzureStorage("c", account_url="https://acme.blob.core.windows.net")
    lender = Lender()
    container = type(storage._container)
    monkeypatch.setattr(container, "service", property(lambda _self: lender))

    for expires in (60, 3600, 86_000):
        query = parse_qs(urlsplit(storage.url("a", expires=expires)).query)
        assert (["b"], ["r"], ["https"]) == (query["sr"], query["sp"], query["spr"])
        assert ["00000000-0000-0000-0000-000000000000"] == query["skoid"]
    assert 1 == len(lender.lent)

    storage.url("a", expires=3 * 86_400)
    assert 2 == len(lender.lent)
    with pytest.raises(Unsupported, match="7 days"):
        storage.url("a", expires=8 * 86_400)
    storage.close()


# -- versions, which Azurite does not keep ---------------------------------------------------

VERSIONS = b"""<?xml version="1.0" encoding="utf-8"?><EnumerationResults><Blobs>
%s</Blobs><NextMarker/></EnumerationResults>"""

VERSION = """<Blob><Name>%s</Name>%s<Properties><Etag>0x%d</Etag><Content-Length>%d</Content-Length>
<Last-Modified>Mon, 23 Nov 2026 00:00:00 GMT</Last-Modified><BlobType>BlockBlob</BlobType>
</Properties></Blob>"""

FACTS = {
    "ETag": '"0x1"',
    "Last-Modified": "Mon, 23 Nov 2026 00:00:00 GMT",
    "x-ms-version-id": "2026-11-23T00:00:01.0000000Z",
}


def canned_store(server, **options):
    options = {"versions": True, "access_key": "a2V5", "read_timeout": 2.0} | options
    return AzureStorage("c", name="primary", account_url=f"{server.endpoint}/acme", **options)


def versions_page(*blobs):
    body = "".join(
        VERSION % (name, version and f"<VersionId>{version}</VersionId>", number, number)
        for number, (name, version) in enumerate(blobs)
    )
    return Reply(200, VERSIONS % body.encode(), {"Content-Type": "application/xml"})


def test_versions_are_the_newest_first_and_of_no_other_key():
    page = versions_page(("a", "2026-1"), ("a", "2026-2"), ("ab", "2026-3"))
    with canned(lambda *_: page) as server:
        storage = canned_store(server)
        found = list(storage.versions("a"))
        storage.close()

    assert [("2026-2", 1), ("2026-1", 0)] == [(each.version, each.size) for each in found]
    assert "include=versions" in server.requests[0][1]


def test_an_account_that_keeps_no_versions_says_so():
    with canned(lambda *_: versions_page(("a", ""))) as server:
        storage = canned_store(server)
        with pytest.raises(Unsupported, match="keeps no versions"):
            storage.versions("a")
        storage.close()


def test_a_version_is_restored_by_a_copy_of_just_that_state():
    version = FACTS["x-ms-version-id"]
    reply = Reply(200, headers=FACTS)
    with canned(
        lambda method, _: Reply(202, headers=FACTS) if method == "PUT" else reply
    ) as server:
        storage = canned_store(server)
        storage.restore("a", version)
        storage.close()

    (copy,) = [number for number, (method, _) in enumerate(server.requests) if method == "PUT"]
    source = parse_qs(urlsplit(server.headers[copy]["x-ms-copy-source"]).query)
    assert ([version], ["bv"]) == (source["versionid"], source["sr"])
    assert '"0x1"' == server.headers[copy]["x-ms-source-if-match"]


@pytest.mark.parametrize("code", ["BlobNotFound", "InvalidQueryParameterValue"])
def test_a_version_that_never_was_is_not_found(code):
    status = 404 if code == "BlobNotFound" else 400
    with canned(lambda *_: Reply(status, headers={"x-ms-error-code": code})) as server:
        storage = canned_store(server)
        with pytest.raises(ObjectNotFound):
            storage.restore("a", "never")
        with pytest.raises(ObjectNotFound), storage.open("a", version="never"):
            pass
        storage.close()


# -- failures --------------------------------------------------------------------------------


def test_a_wrong_key_is_not_tried_again(store):
    wrong = base64.b64encode(b"mill-key-of-others").decode()

    assert_unavailable(store(access_key=wrong), retry_here=False)


def test_a_missing_container_is_an_outage_and_no_missing_object(store):
    assert_unavailable(store(container="there-is-none"), retry_here=False)


def test_a_refused_connection_may_pass(store):
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        port = closed.getsockname()[1]

    assert_unavailable(store(account_url=f"http://127.0.0.1:{port}/acme"), retry_here=True)


def test_tls_to_a_server_without_is_not_tried_again(store, server):
    storage = store(account_url=server.account_url.replace("http:", "https:"))

    assert_unavailable(storage, retry_here=False, calls=["put", "ping"])


def test_no_credentials_at_all_are_not_tried_again(store, server, monkeypatch, tmp_path):
    for name in [name for name in os.environ if name.startswith("AZURE_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("AZURE_TOKEN_CREDENTIALS", "EnvironmentCredential")
    url = server.account_url.replace("http:", "https:")

    assert_unavailable(store(access_key=None, account_url=url), retry_here=False, calls=["put"])


def test_a_frozen_server_is_given_up_in_time_and_found_again(store, server):
    calls = ["put", "open", "stat", "ping"]
    storage = store(read_timeout=0.5)
    store().put("a", b"x")
    server.freeze()
    try:
        began = time.monotonic()
        assert_unavailable(storage, retry_here=True, calls=calls)
        assert 4 * 0.5 <= time.monotonic() - began < 4 * 1.5
    finally:
        server.thaw()

    assert eventually(lambda: reads(storage, "a"))
    storage.delete("a")


def reads(storage, key):
    """Whether the object can be read by now."""
    with contextlib.suppress(StorageUnavailable):
        return storage.read(key, 10)


def behind(between, server):
    """The account's address by way of the proxy."""
    return f"{between.endpoint}/{server.account_url.rpartition('/')[2]}"


def test_a_connection_cut_in_mid_body_is_no_end_of_the_object(store, server):
    source = MadeUp(3 << 20)
    store().put("cut", source)
    with proxy(server.port) as between:
        storage = store(account_url=behind(between, server), read_size=CHUNK)
        with storage.open("cut") as reader:
            got = reader.read(1000)
            between.cut_after = CHUNK
            with pytest.raises(StorageUnavailable) as caught:
                HashingReader(reader).drain()
        assert source.part(0, len(got)) == got
        assert caught.value.retry_here

        between.cut_after = None
        assert source.sha256 == digest(storage, "cut")
        storage.delete("cut")
        storage.close()


def test_a_body_that_stalls_is_given_up(store, server):
    store().put("stall", MadeUp(3 << 20))
    with proxy(server.port) as between:
        storage = store(account_url=behind(between, server), read_timeout=0.5)
        with storage.open("stall") as reader:
            reader.read(10)
            between.black_hole = True
            began = time.monotonic()
            with pytest.raises(StorageUnavailable) as caught:
                HashingReader(reader).drain()
        assert time.monotonic() - began < 5
        assert caught.value.retry_here
        storage.close()


def test_a_large_upload_whose_connection_breaks_leaves_no_object(store, server):
    with proxy(server.port) as between:
        storage = store(account_url=behind(between, server))
        source = MadeUp(3 * PART)

        class BreaksAfterOnePart:
            """The opener of a source; the network fails while it is sent."""

            def __init__(self):
                self.stream = source()
                self.read_so_far = 0

            def read(self, size):
                self.read_so_far += size
                if self.read_so_far > 2 * PART:
                    between.refusing = True
                    storage.close()
                return self.stream.read(size)

            def __enter__(self):
                return self

            def __exit__(self, *_):
                pass

        with pytest.raises(StorageUnavailable) as caught:
            storage.put("broken-upload", partial(BreaksAfterOnePart))
        assert "made/broken-upload" in uncommitted(server)
        assert caught.value.retry_here
        storage.close()
    assert not store().exists("broken-upload")


def uncommitted(server):
    """Blobs that have blocks and are not visible; Azure forgets them after a week."""
    probe = new_store(server)
    listed = probe._container.client.list_blobs("made/", include=["uncommittedblobs"])
    seen = {stat.key for stat in probe.list()}
    found = [blob.name for blob in listed if blob.name.removeprefix("made/") not in seen]
    probe.close()
    return found


@pytest.mark.parametrize(
    ("status", "code", "error", "retry_here"),
    [
        (503, "ServerBusy", StorageUnavailable, True),
        (500, "InternalError", StorageUnavailable, True),
        (429, "TooManyRequests", StorageUnavailable, True),
        (403, "AuthorizationPermissionMismatch", StorageUnavailable, False),
        (400, "InvalidUri", InvalidKey, None),
        (400, "MetadataTooLarge", Unsupported, None),
    ],
)
def test_an_answer_means_what_it_says_and_nobody_below_us_tries_again(
    status, code, error, retry_here
):
    text = f"<Error><Code>{code}</Code><Message>https://x.test/?sig=secret</Message></Error>"
    headers = {"x-ms-error-code": code, "Content-Type": "application/xml"}
    with canned(lambda *_: Reply(status, text.encode(), headers)) as server:
        storage = canned_store(server)
        with pytest.raises(error) as caught:
            storage.put("a", b"x")
        storage.close()

    assert retry_here is getattr(caught.value, "retry_here", None)
    assert "secret" not in str(caught.value)
    assert 1 == len(server.requests)


def test_a_reply_that_is_no_azure_may_pass():
    page = Reply(200, b"<html>captive portal", {"Content-Type": "application/xml"})
    with canned(lambda *_: page) as server:
        storage = canned_store(server)
        for ask in (lambda: list(storage.list()), lambda: storage.stat("a")):
            with pytest.raises(StorageUnavailable) as caught:
                ask()
            assert caught.value.retry_here
        storage.close()


def test_a_delete_that_was_refused_for_one_key_says_so():
    part = (
        b"--b\r\nContent-Type: application/http\r\nContent-ID: %d\r\n\r\n"
        b"HTTP/1.1 %d No\r\nx-ms-error-code: %s\r\nContent-Length: 0\r\n\r\n\r\n"
    )
    body = part % (0, 404, b"BlobNotFound") + part % (1, 403, b"AuthorizationFailure") + b"--b--"
    reply = Reply(202, body, {"Content-Type": "multipart/mixed; boundary=b"})
    with canned(lambda *_: reply) as server:
        storage = canned_store(server)
        with pytest.raises(StorageUnavailable, match="AuthorizationFailure") as caught:
            storage.delete("a", "b")
        storage.close()

    assert not caught.value.retry_here


def test_a_token_that_the_service_does_not_know_is_the_callers_mistake():
    refused = Reply(400, headers={"x-ms-error-code": "InvalidQueryParameterValue"})
    with canned(lambda *_: refused) as server:
        storage = canned_store(server)
        with pytest.raises(ValueError, match="token"):
            list(storage.list(token="YQ=="))
        with pytest.raises(Unsupported):
            list(storage.list())
        storage.close()


# -- processes and threads -------------------------------------------------------------------


def test_a_fork_gets_connections_of_its_own(store):
    storage = store()
    storage.put("forked", b"x" * 1000)
    client = storage._container.client

    children = [fork(lambda: child_works(storage, client)) for _ in range(3)]
    for _ in range(10):
        assert b"x" * 1000 == storage.read("forked", 1000)

    assert [0, 0, 0] == [os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) for child in children]
    assert client is storage._container.client


def child_works(storage, parents_client):
    return parents_client is not storage._container.client and all(
        storage.read("forked", 1000) == b"x" * 1000 for _ in range(10)
    )


def fork(work) -> int:
    """Run *work* in a forked child, which exits 0 when it returns True."""
    child = os.fork()
    if child:
        return child
    try:
        os._exit(0 if work() else 1)
    finally:
        os._exit(2)


def test_threads_share_one_client_and_a_closed_store_is_usable(store):
    storage = store()
    clients = set()
    start = threading.Barrier(8)

    def ask():
        start.wait()
        clients.add(id(storage._container.client))

    threads = [threading.Thread(target=ask) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert 1 == len(clients)

    storage.close()
    storage.close()
    storage.ping()


def test_what_another_thread_has_begun_goes_on_when_the_connections_are_given_back(store):
    storage = store()
    storage.put("begun", b"x" * 400_000)
    with storage.open("begun") as reader:
        begun = storage._container.client
        storage.close()
        rest = HashingReader(reader)
        rest.drain()

    assert 400_000 == rest.size
    assert begun.get_container_properties().etag
    begun.close()
    storage.delete("begun")
