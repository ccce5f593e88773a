"""From addresses to stores, and which addresses are refused."""

import subprocess
import sys

import pytest
from pydantic import SecretStr

from uploadmill.backends.storage import open_storage, storage_from, stores_from
from uploadmill.backends.storage.local import LocalStorage
from uploadmill.backends.storage.memory import MemoryStorage
from uploadmill.backends.storage.s3 import S3Storage
from uploadmill.errors import InvalidSettings
from uploadmill.settings import Settings
from uploadmill.settings_stores import StoreSettings
from uploadmill.store_url import url_options


def test_each_scheme_opens_its_store(tmp_path):
    local = open_storage(f"file://{tmp_path}/a%20b", name="primary")
    s3 = open_storage("s3://bucket/some/prefix?endpoint_url=http://s3.test:9000&region=eu-1")

    assert isinstance(local, LocalStorage)
    local.put("x", b"x")
    assert (tmp_path / "a b" / "x").exists()
    assert isinstance(s3, S3Storage)
    assert isinstance(open_storage("memory:"), MemoryStorage)


def test_nothing_is_made_before_it_is_used(tmp_path):
    open_storage(f"file://{tmp_path}/root")

    assert [] == list(tmp_path.iterdir())


@pytest.mark.parametrize(
    "url",
    [
        "s3://key:hunter2@bucket/prefix",
        "s3://hunter2@bucket/prefix",
        "s3://bucket?secret_key=hunter2",
        "s3://bucket?access_key=hunter2",
        "s3://bucket?endpoint_url=http://user:hunter2@s3.test",
        "s3://bucket?token=hunter2",
        "s3://bucket?hunter2",
        "s3://bucket?hunter2=region",
        "s3://bucket?region=eu-1&hunter2",
        "hunter2:bucket",
        "file://host/path?password=hunter2",
        "gopher://user:hunter2@bucket",
        "file:relative/hunter2",
        "file://hunter2/path",
        "s3:///hunter2",
        "s3://bucket/a/../hunter2",
        "s3://bucket/half#hunter2",
        "file:///half#hunter2",
        "memory:hunter2",
        "memory:\x00hunter2",
        # A secret with a slash ends the host before the @.
        "s3://AKIAIOSFODNN7EXAMPLE:wJalr/hunter2@media/uploads?region=eu-1",
        "s3://key/hunter2@media/uploads",
        "s3://key:hunter2/uploads",
        "s3://key%3Ahunter2%40media/uploads",
        "gs://tok/hunter2@bucket/x",
        "azure://acc:hunter2/x@files",
        "s3://media?endpoint_url=http://AKIA:hunt/hunter2@s3.test",
        "s3://media?endpoint_url=http://AKIA:hunter2",
        "s3://media?endpoint_url=http://s3.test?sig=hunter2",
        "s3://media?endpoint_url=hunter2",
        "s3://media?endpoint_url=http://hunter2℀x",
        "s3://media?addressing=hunter2",
        "gs://media?endpoint_url=http://a:b/hunter2@gcs.test",
        "azure://files?account_url=http://acc:k/hunter2@azure.test",
        "azure://files?account_url=https://acc.test/?sig=hunter2",
        # What urllib itself refuses, and shows.
        "s3://key:hunter2@buck℀et/x",
        "s3://[hunter2/x",
        "s3://[hunter2]/x",
        "s3://hun\nter2/hunter2",
        "file:///hunter2%00",
        "hunter2",
    ],
)
def test_a_wrong_address_is_refused_without_showing_it(url):
    with pytest.raises(InvalidSettings) as caught:
        open_storage(url, name="primary")

    assert "'primary'" in str(caught.value)
    assert caught.value.__cause__ is None
    assert caught.value.__context__ is None or caught.value.__suppress_context__
    assert "hunter2" not in str(caught.value)


@pytest.mark.parametrize("option", ["public_url", "cdn_url"])
@pytest.mark.parametrize(
    "address",
    [
        "https://key:hun/ter2hunter2@cdn.test",
        "https://hunter2@cdn.test",
        "https://key:hunter2",
        "https://cdn.test/?sig=hunter2",
        "https://hunter2℀x/",
        "hunter2.test",
    ],
)
def test_a_wrong_address_to_show_objects_at_is_refused_without_showing_it(option, address):
    with pytest.raises(InvalidSettings, match=option) as caught:
        open_storage("memory:", **{option: address})

    assert "hunter2" not in str(caught.value)
    assert caught.value.__cause__ is None


def test_addresses_to_show_objects_at_may_be_of_any_kind():
    for shown_at in ("https://cdn.test:8443/a%40b", "http://[::1]:1/x/", "file:///media", "/media"):
        store = open_storage("memory:", public_url=shown_at)

        assert f"{shown_at.rstrip('/')}/k" == store.url("k")


@pytest.mark.parametrize("address", ["nonsense", "s3.test:9000", "http://", "http://my_minio:9000"])
def test_what_is_no_server_is_refused_when_the_store_is_made(address):
    with pytest.raises(InvalidSettings, match="endpoint_url"):
        S3Storage("media", endpoint_url=address)


@pytest.mark.parametrize("wrong", ["s3:///prefix", "gs://", "azure://a/b@c", "else", None, ["a"]])
def test_what_is_no_url_of_a_store_is_refused(wrong):
    with pytest.raises(InvalidSettings, match="'primary'"):
        open_storage(wrong, name="primary")


def test_a_prefix_may_have_an_at_sign_where_it_is_quoted():
    assert ("s3", {"bucket": "media", "base_path": "/a@b"}) == url_options("s3://media/a%40b")


def test_a_wrong_option_in_an_address_is_told_which_there_are():
    with pytest.raises(InvalidSettings, match="there are: endpoint_url, region, addressing"):
        open_storage("s3://bucket?regoin=eu-1")


def test_an_option_the_store_does_not_have_is_refused():
    with pytest.raises(InvalidSettings, match="an option that memory stores do not have"):
        open_storage("memory:", secret_key="hunter2")


#: Opens stores without a package each; in a process of its own, as what was imported stays so.
WITHOUT = """
import sys
from uploadmill.backends.storage import open_storage
from uploadmill.errors import InvalidSettings
for absent, url in zip(sys.argv[1::2], sys.argv[2::2]):
    sys.modules[absent] = None
    try: open_storage(url)
    except InvalidSettings as error: print(error)
    del sys.modules[absent]
"""


def test_a_store_whose_package_is_missing_names_it_and_the_extra():
    # Of a name that several packages share, such as google, others may be installed.
    absent = {
        ("boto3", "s3://bucket"): ("S3Storage needs boto3", "s3"),
        ("google", "gs://bucket"): ("GoogleStorage needs google", "gcs"),
        ("google.cloud", "gs://bucket"): ("GoogleStorage needs google.cloud", "gcs"),
        ("azure", "azure://files"): ("AzureStorage needs azure", "azure"),
        ("azure.storage", "azure://files"): ("AzureStorage needs azure.storage", "azure"),
    }

    command = [sys.executable, "-c", WITHOUT, *(word for each in absent for word in each)]
    said = subprocess.run(command, check=True, capture_output=True, text=True).stdout

    for line, (needs, extra) in zip(said.splitlines(), absent.values(), strict=True):
        assert line.startswith(f"storage 'storage': {needs}")
        assert line.endswith(f", which is not installed: pip install 'uploadmill[{extra}]'")


def test_the_settings_of_a_role_make_its_store():
    settings = StoreSettings(
        url="s3://bucket/prefix",
        public_url="https://cdn.test",
        endpoint_url="http://127.0.0.1:1",
        region="us-east-1",
        access_key=SecretStr("key"),
        secret_key=SecretStr("hunter2"),
    )

    store = storage_from(settings, "primary")

    assert "primary" == store.name
    assert "https://cdn.test/a" == store.url("a")
    assert "hunter2" not in repr(store) + repr(vars(store))


def test_a_kind_opens_by_its_name_and_options_alone(tmp_path):
    local = open_storage("local", base_path=tmp_path / "root", allowed_extensions=["txt"])
    s3 = open_storage("s3", bucket="media", base_path="a", region="eu-1", cdn_url="https://c.test")

    local.put("x.txt", b"x")
    assert (tmp_path / "root" / "x.txt").exists()
    assert isinstance(s3, S3Storage)
    assert "https://c.test/k" == s3.url("k")


@pytest.mark.parametrize("kind", ["s3", "gcs", "azure"])
def test_a_kind_without_its_bucket_says_what_is_missing(kind):
    with pytest.raises(InvalidSettings, match=r"no (bucket|container); write"):
        open_storage(kind)


def test_a_local_store_without_a_folder_says_so():
    with pytest.raises(InvalidSettings, match="one that they need is missing"):
        open_storage("local")


def test_all_that_keeps_the_stores_from_being_opened_is_told_at_once():
    settings = Settings.model_validate(
        {
            "staging": {"url": "azure://uploads"},
            "primary": {"url": "s3://bucket/a/../b"},
            "quarantine": {"url": "gs://B"},
        }
    )

    with pytest.raises(InvalidSettings) as caught:
        stores_from(settings)

    staging, primary, quarantine = caught.value.mistakes
    assert staging.startswith("storage 'staging': account_url is missing")
    assert "storage 'primary': the prefix is no valid key, or too long" == primary
    assert "storage 'quarantine': no bucket of Google's can have this name" == quarantine


def test_a_store_that_nobody_needs_is_not_opened():
    settings = Settings.model_validate({"quarantine": {"url": "azure://without-an-account"}})

    stores = stores_from(settings, needed=("staging", "primary", "secondary"))

    assert "primary" == stores.primary.name
    with pytest.raises(LookupError, match="put: the store 'quarantine' was not opened"):
        stores.quarantine.put("a", b"a")
