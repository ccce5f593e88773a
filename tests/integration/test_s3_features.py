"""What not every store has, on S3: versions, signed addresses, forms."""

from __future__ import annotations

from contextlib import closing
from urllib.parse import parse_qs, urlsplit

import pytest
from services.canned import Reply, canned
from services.s3_stores import HEAD, PART, boto, new_store, xml

from uploadmill.backends.storage.contract_ground import MadeUp
from uploadmill.backends.storage.features import Access
from uploadmill.backends.storage.s3 import S3Storage
from uploadmill.errors import Unsupported


@pytest.fixture
def offline():
    """A store whose server is nowhere: what it can do asks nobody."""
    with closing(
        S3Storage("bucket", region="eu-central-1", access_key="key", secret_key="secret")
    ) as storage:
        yield storage


def answering(endpoint):
    return S3Storage(
        "bucket",
        endpoint_url=endpoint,
        region="us-east-1",
        access_key="key",
        secret_key="secret",
        part_size=1000,
    )


def test_nothing_is_lacking_for_certain(offline):
    assert {} == offline.lacks


# -- versions ------------------------------------------------------------------------------


def test_versions_are_of_one_key_and_neither_markers_nor_older_than_versioning(s3_server):
    # Given a bucket with an object from before it kept versions
    bucket = s3_server.make_bucket("uploadmill-later")
    with closing(new_store(s3_server, bucket=bucket)) as before:
        before.put("a", b"unversioned")
        with pytest.raises(Unsupported, match="not enabled"):
            before.versions("a")
    with closing(boto(s3_server)) as client:
        client.put_bucket_versioning(Bucket=bucket, VersioningConfiguration={"Status": "Enabled"})

    # When it is overwritten and deleted, and others with such a key live beside it
    with closing(new_store(s3_server, bucket=bucket)) as storage:
        made = [storage.put("a", b"x" * size).version for size in (1, 2, 3)]
        for other in ("a-", "a/b", "aa"):
            storage.put(other, b"other")
        storage.delete("a")
        made.append(storage.put("a", b"x" * 4).version)

        # Then each state since has a version, and neither the marker nor the first state
        kept = list(storage.versions("a"))
        assert [(4, made[3]), (3, made[2]), (2, made[1]), (1, made[0])] == [
            (stat.size, stat.version) for stat in kept
        ]


def versioning(status):
    return f"<VersioningConfiguration><Status>{status}</Status></VersioningConfiguration>".encode()


def versions_page(names, marker):
    """A page of versions of ``a`` and of one other object, and where the list goes on."""
    items = "".join(
        f"<Version><Key>{name[0]}</Key><VersionId>{name}</VersionId><ETag>e</ETag><Size>1</Size>"
        "<LastModified>2026-11-23T00:00:00Z</LastModified></Version>"
        for name in names
    )
    more = f"<NextKeyMarker>{marker}</NextKeyMarker><NextVersionIdMarker>m</NextVersionIdMarker>"
    return f"<ListVersionsResult>{items}{more if marker else ''}</ListVersionsResult>".encode()


@pytest.mark.parametrize("second", ["", "b"], ids=["the end", "more of others"])
def test_versions_are_listed_until_another_object_comes(second):
    # Not with SeaweedFS 4.48: it loses versions between pages.
    def answer(_method, path):
        if "versioning" in path:
            return Reply(200, versioning("Enabled"))
        if "key-marker=a" in path:
            return Reply(200, versions_page(["a1", "b1"], second))
        return Reply(200, versions_page(["a3", "a2"], "a"))

    with canned(answer) as server, closing(answering(server.endpoint)) as storage:
        assert ["a3", "a2", "a1"] == [stat.version for stat in storage.versions("a")]

    assert 3 == len(server.requests), "no page of others is asked for"
    assert "version-id-marker=m" in server.requests[-1][1]


def test_a_large_version_is_restored_by_parts_with_its_facts(s3_server):
    bucket = s3_server.make_bucket("uploadmill-large-versions")
    with closing(boto(s3_server)) as client:
        client.put_bucket_versioning(Bucket=bucket, VersioningConfiguration={"Status": "Enabled"})
    options = {"bucket": bucket, "copy_limit": PART, "copy_part_size": PART, "part_size": PART}
    with closing(new_store(s3_server, **options)) as storage:
        source = MadeUp(PART + 1)
        first = storage.put("a", source, content_type="a/b", cache_control="no-store")
        storage.put("a", b"other")

        restored = storage.restore("a", first.version)

        assert (source.sha256, "a/b", "no-store") == (
            restored.sha256,
            restored.content_type,
            restored.cache_control,
        )
        assert first.version != restored.version


def test_whether_versions_are_kept_is_asked_once():
    with (
        canned(lambda *_: Reply(200, versioning("Suspended"))) as server,
        closing(answering(server.endpoint)) as storage,
    ):
        for _ in range(3):
            with pytest.raises(Unsupported, match="not enabled"):
                storage.versions("a")
            with pytest.raises(Unsupported), storage.open("a", version="1"):
                pass

    assert 1 == len(server.requests)


# -- signed addresses and forms ------------------------------------------------------------


def test_an_address_is_signed_in_the_fourth_way_without_asking_anybody(offline):
    address = offline.url("a b", expires=60.5, filename="ü.txt")

    query = parse_qs(urlsplit(address).query)
    assert ["AWS4-HMAC-SHA256"] == query["X-Amz-Algorithm"]
    assert ["60"] == query["X-Amz-Expires"]
    assert "UTF-8''%C3%BC.txt" in query["response-content-disposition"][0]
    assert "/a%20b?" in address


def test_nothing_is_signed_for_longer_than_s3_takes(offline):
    week = 7 * 24 * 3600
    assert offline.url("a", expires=week)
    with pytest.raises(Unsupported, match="604800"):
        offline.url("a", expires=week + 1)
    with pytest.raises(Unsupported, match="604800"):
        offline.presign_upload("a", content_type="a/b", max_size=1, expires=week + 1)


def test_no_form_lets_the_client_name_the_key(offline):
    with pytest.raises(Unsupported, match="filename"):
        offline.presign_upload("a/${filename}", content_type="a/b", max_size=1)


def test_a_server_that_knows_no_such_request_does_not_support_it():
    def answer(method, _path):
        return Reply(200, headers=HEAD) if method == "HEAD" else Reply(501, xml("NotImplemented"))

    with canned(answer) as server, closing(answering(server.endpoint)) as storage:
        for call in (
            lambda: storage.versions("a"),
            lambda: storage.restore("a", "1"),
            lambda: storage.access("a"),
            lambda: storage.set_access("a", Access.PRIVATE),
        ):
            with pytest.raises(Unsupported, match="does not know"):
                call()
