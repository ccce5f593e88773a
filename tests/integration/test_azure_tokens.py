"""Azure without an account key: tokens, and the keys that the service lends for signatures."""

import socket
import ssl
import urllib.request
from contextlib import closing
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address

import jwt
import pytest
from azure.core.credentials import AccessToken
from azure.identity import ClientSecretCredential
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from services.azurite import Certificate, azurite, node
from services.missing import missing

from uploadmill.backends.storage.azure import AzureStorage
from uploadmill.backends.storage.azure_errors import translated
from uploadmill.backends.storage.contract_ground import MadeUp, digest
from uploadmill.errors import StorageUnavailable

CONTAINER = "uploadmill-tokens"
NOBODY = "00000000-0000-0000-0000-000000000000"
PART = 300_000


class Chain:
    """Stands for the provider's own chain: gives out tokens as an account of Azure's would."""

    audience = "https://storage.azure.com"
    made = 0

    def __init__(self, **_options):
        type(self).made += 1

    def get_token(self, *_scopes, **_options):
        expires = datetime.now(UTC) + timedelta(hours=1)
        claims = {
            "iss": f"https://sts.windows.net/{NOBODY}/",
            "aud": self.audience,
            "oid": NOBODY,
            "tid": NOBODY,
            "iat": datetime.now(UTC) - timedelta(minutes=1),
            "nbf": datetime.now(UTC) - timedelta(minutes=1),
            "exp": expires,
        }
        token = jwt.encode(claims, "0" * 32, algorithm="HS256")
        return AccessToken(token, int(expires.timestamp()))


@pytest.fixture(scope="module")
def certificate(tmp_path_factory):
    """Of a server on loopback, signed by itself."""
    folder = tmp_path_factory.mktemp("certificate")
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "localhost")])
    now = datetime.now(UTC)
    made = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(
            x509.SubjectAlternativeName([x509.IPAddress(ip_address("127.0.0.1"))]), critical=False
        )
        .sign(key, hashes.SHA256())
    )
    paths = Certificate(folder / "certificate.pem", folder / "key.pem")
    paths.path.write_bytes(made.public_bytes(serialization.Encoding.PEM))
    paths.key.write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
    )
    return paths


@pytest.fixture(scope="module")
def server(tmp_path_factory, certificate):
    if node() is None:
        missing("Azurite", "scripts/node-servers")
    with azurite(tmp_path_factory.mktemp("azurite"), certificate) as server:
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("REQUESTS_CA_BUNDLE", str(certificate.path))
            server.make_container(CONTAINER)
        yield server


@pytest.fixture
def store(server, certificate, monkeypatch):
    """A store without a key, and a chain that has a token."""
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(certificate.path))
    monkeypatch.setattr("azure.identity.DefaultAzureCredential", Chain)
    storage = AzureStorage(
        CONTAINER,
        "made",
        name="primary",
        account_url=server.account_url,
        part_size=PART,
        copy_limit=PART,
        copy_part_size=PART,
    )
    yield storage
    storage.close()


def test_a_token_is_enough_for_everything(store):
    small, large = MadeUp(1000), MadeUp(PART + 1)
    before = Chain.made
    for source in (small, large):
        key = f"{source.size}"
        store.put(key, source)
        store.copy(key, key + "-copy", create_only=True)
        assert source.sha256 == digest(store, key + "-copy")
    store.ping()

    keys = [stat.key for stat in store.list()]
    assert ["1000", "1000-copy", "300001", "300001-copy"] == keys
    store.delete(*keys)
    assert [] == list(store.list())
    assert 1 == Chain.made - before


def test_an_address_signed_with_a_lent_key_opens_for_everybody(store, certificate):
    store.put("shown", b"the bytes")
    trusting = ssl.create_default_context(cafile=str(certificate.path))

    with urllib.request.urlopen(store.url("shown", expires=60), context=trusting) as answer:  # noqa: S310 (our server's)
        assert b"the bytes" == answer.read()
    store.delete("shown")


def test_a_token_for_something_else_is_not_tried_again(store, monkeypatch):
    monkeypatch.setattr(Chain, "audience", "https://vault.test")

    with pytest.raises(StorageUnavailable) as caught:
        store.put("a", b"x")
    assert not caught.value.retry_here


def test_a_certificate_that_nobody_trusts_is_not_tried_again(store, monkeypatch):
    monkeypatch.delenv("REQUESTS_CA_BUNDLE")

    with pytest.raises(StorageUnavailable, match="SSLError") as caught:
        store.ping()
    assert not caught.value.retry_here


@pytest.mark.parametrize("listening", [False, True], ids=["refused", "silent"])
def test_a_sign_in_that_gets_no_answer_may_pass(listening):
    with socket.socket() as nobody:
        nobody.bind(("127.0.0.1", 0))
        if listening:
            nobody.listen()
        credential = ClientSecretCredential(
            *(NOBODY, NOBODY, "secret"),
            authority=f"https://127.0.0.1:{nobody.getsockname()[1]}",
            disable_instance_discovery=True,
            retry_total=0,
            connection_timeout=0.5,
            read_timeout=0.5,
        )
        with (
            closing(credential),
            pytest.raises(StorageUnavailable) as caught,
            translated("primary"),
        ):
            credential.get_token(f"{Chain.audience}/.default")

    assert caught.value.retry_here
    assert "127.0.0.1" not in str(caught.value)
