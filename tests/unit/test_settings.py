"""The configuration: where it comes from, and what is said about mistakes."""

from __future__ import annotations

import json
import traceback

import pytest
from pydantic import ValidationError

from uploadmill.errors import InvalidSettings, UnknownPipeline
from uploadmill.settings import Settings


@pytest.fixture(autouse=True)
def nowhere(tmp_path, monkeypatch):
    """A working folder without a settings file."""
    monkeypatch.chdir(tmp_path)


def mistakes(**environ: str) -> str:
    with pytest.raises(InvalidSettings) as caught:
        Settings.load(environ)
    return str(caught.value)


def test_without_file_and_variables_the_defaults_hold():
    settings = Settings.load({})
    assert "redis://127.0.0.1:6379/0" == settings.redis_url == settings.broker_url
    assert 30.0 == settings.ledger.lease
    assert 10.0 == settings.ledger.renew
    assert ("avatar", "document", "photo") == settings.pipeline_names


def test_a_file_is_read_and_a_variable_wins(tmp_path):
    (tmp_path / "uploadmill.toml").write_text(
        'prefix = "a"\n[ledger]\nlease = 5\ncrash_max = 2\n[primary]\nurl = "s3://bucket"\n'
    )
    settings = Settings.load({"UPLOADMILL_LEDGER__LEASE": "7"})
    assert ("a", 7.0, 2, "s3://bucket") == (
        settings.prefix,
        settings.ledger.lease,
        settings.ledger.crash_max,
        settings.primary.url,
    )


def test_the_ecosystems_variables_are_honoured_and_ours_win():
    given = {"REDIS_URL": "redis://there/1", "CELERY_BROKER_URL": "amqp://there"}
    settings = Settings.load(given)
    assert ("redis://there/1", "amqp://there") == (settings.redis_url, settings.broker_url)
    ours = Settings.load({**given, "UPLOADMILL_REDIS_URL": "redis://here/2"})
    assert "redis://here/2" == ours.redis_url


def test_our_own_file_wins_over_the_ecosystems_variables(tmp_path):
    # They may be an app's own, for its cache or for tasks of its own
    given = {"REDIS_URL": "redis://there/1", "CELERY_BROKER_URL": "amqp://there"}
    (tmp_path / "uploadmill.toml").write_text('redis_url = "redis://file/3"\n')
    settings = Settings.load(given)
    assert ("redis://file/3", "amqp://there") == (settings.redis_url, settings.broker_url)

    (tmp_path / "uploadmill.toml").write_text('redis_url = "redis://file/3"\nbroker_url = ""\n')
    assert "redis://file/3" == Settings.load(given).broker_url


def test_a_named_file_must_be_there(tmp_path):
    assert "there is no file" in mistakes(UPLOADMILL_CONFIG=str(tmp_path / "none.toml"))


def test_a_file_that_is_no_toml_is_named(tmp_path):
    (tmp_path / "uploadmill.toml").write_text("lease = = 5")
    assert "uploadmill.toml" in mistakes()


def test_all_mistakes_come_at_once_with_alternatives(tmp_path):
    (tmp_path / "uploadmill.toml").write_text(
        'prefx = "a"\nsecondary = "file:///x"\n[ledger]\nlaese = 5\n'
    )
    text = mistakes(
        UPLOADMILL_PRIMRAY__URL="x",
        UPLOADMILL_LEDGER__CRASH_MAX="many",
        UPLOADMILL_LEDGER__DEADLINE="999999",
        UPLOADMILL_LEDGER__KEEP_FAILED="9999999",
        UPLOADMILL_SCANNER__ADDRESS="tcp://127.0.0.1:99999999",
        UPLOADMILL_SCANNER__TIMEOUT="-1",
        UPLOADMILL_PIPELINES="{not json",
        UPLOADMILL_REDIS_URL="foo",
        UPLOADMILL_BROKER_URL="rediss//x",
        UPLOADMILL_STAGING__URL="nonsense",
        UPLOADMILL_STAGING__TIMEOUT="long",
        UPLOADMILL_PRIMARY__URL="ftp://x",
        UPLOADMILL_PRIMARY__ENDPOINT_URL="s3.test",
        UPLOADMILL_PRIMARY__ALLOWED_EXTENSIONS='["jpg"]',
        UPLOADMILL_QUARANTINE__URL="s3:///prefix",
    )
    for said in (
        "the settings have 18 mistake(s)",
        "UPLOADMILL_PRIMRAY__URL: no such setting; did you mean UPLOADMILL_PRIMARY__URL",
        "prefx: no such setting; did you mean prefix",
        "secondary: it is a table; write [secondary], and its settings below that",
        "ledger.laese: no such setting; did you mean lease",
        "ledger.crash_max: Input should be a valid integer",
        "ledger.workspace_max: deadline (999999 s) must be below workspace_max (172800 s)",
        "ledger.tombstone_keep: keep_failed (1e+07 s) must be below tombstone_keep",
        "scanner.address: a port is a number from 1 to 65535\n",
        "scanner.timeout: Input should be greater than 0",
        "UPLOADMILL_PIPELINES: not valid JSON",
        "redis_url: not an address that is known; write redis://host:6379/0",
        "broker_url: not an address that is known; write redis://host:6379/0, rediss://…, amqp://",
        "staging.url: the URL begins with no scheme that is known; there are: azure, file, gs",
        "staging.timeout: Input should be a valid number",
        "primary.url: the URL begins with no scheme",
        "primary.endpoint_url: endpoint_url is no address of a server",
        "primary.allowed_extensions: add json",
        "quarantine.url: no bucket; write s3://bucket/prefix",
    ):
        assert said in text


@pytest.mark.parametrize("value", ["inf", "nan", "-inf"])
def test_a_time_is_a_number_of_seconds(value):
    assert "ledger.lease: Input should be" in mistakes(UPLOADMILL_LEDGER__LEASE=value)


def test_a_table_that_is_no_table_is_a_mistake_whatever_the_variables_say(tmp_path):
    (tmp_path / "uploadmill.toml").write_text('primary = "file:///x"\n')
    text = mistakes(UPLOADMILL_PRIMARY__PUBLIC_URL="https://x.test")
    assert "primary: it is a table; write [primary], and its settings below that" in text


def test_what_is_no_step_is_told_how_one_is_written():
    text = mistakes(UPLOADMILL_PIPELINES='{"mine": {"steps": ["validate", 3]}, "other": []}')
    assert "pipelines.mine.steps.1: write a step's name, or a table {step = its name" in text
    assert "pipelines.other: it is a table; write [pipelines.other]" in text


@pytest.mark.parametrize("secret", ["{Zq8#x", "[1]", "{}"])
def test_a_value_that_is_no_list_is_taken_as_it_stands(secret):
    variables = {
        "UPLOADMILL_PRIMARY__URL": "s3://b",
        "UPLOADMILL_PRIMARY__ACCESS_KEY": "me",
        "UPLOADMILL_PRIMARY__SECRET_KEY": secret,
        "UPLOADMILL_PREFIX": "[a]",
    }
    settings = Settings.load(variables)
    assert settings.primary.secret_key is not None
    assert (secret, "[a]") == (settings.primary.secret_key.get_secret_value(), settings.prefix)


#: Addresses with a password that was not escaped, or that cannot be taken for other reasons.
WRONG_ADDRESSES = [
    "foo",
    "rediss//x",
    "sekret",
    "redis:sekret@here",
    "redis://:sekr/et@127.0.0.1:1/0",
    "redis://:sekr#et@127.0.0.1:1/0",
    "redis://:sekr?et@127.0.0.1:1/0",
    "redis://:sekr[et@127.0.0.1:1/0",
    "redis://:123/sekret@127.0.0.1:1/0",
    "redis://me:123#sekret@127.0.0.1:1/0",
    "redis://me:123?sekret@127.0.0.1:1/0",
    "redis://:se\u2100kret@127.0.0.1:1/0",
    "redis://here:65536/0",
    "redis://here:0/0",
    "redis://here/sekret",
    "memory://sekret",
]


@pytest.mark.parametrize("name", ["redis_url", "broker_url"])
@pytest.mark.parametrize("url", WRONG_ADDRESSES)
def test_a_redis_that_cannot_be_is_refused_and_nothing_of_it_is_shown(name, url, monkeypatch):
    text = mistakes(**{f"UPLOADMILL_{name.upper()}": url})

    assert f"the settings have 1 mistake(s):\n  - {name}: " in text
    assert not [part for part in ("sekr", "et@", "here", "127", "foo") if part in text]

    with pytest.raises(ValidationError) as caught:
        Settings.model_validate({name: url})
    shown = "".join(traceback.format_exception(caught.value))
    assert not [part for part in ("sekr", "et@") if part in shown]


@pytest.mark.parametrize(
    "url",
    [
        "redis://",
        "redis://here",
        "rediss://me:p%2Fss@here:6380/15?ssl_cert_reqs=none",
        "redis://:p@ss@here:6379/0",
        "redis://[::1]:6379/0",
    ],
)
def test_a_redis_is_ledger_and_broker(url):
    settings = Settings.load({"UPLOADMILL_REDIS_URL": url})
    assert (url, url) == (settings.redis_url, settings.broker_url)


@pytest.mark.parametrize(
    "url",
    ["amqp://me:p%2Fss@here:5672//", "amqps://here/uploads", "amqp://a@one:5672//;pyamqp://two//"],
)
def test_a_rabbitmq_is_the_broker_alone(url):
    assert url == Settings.load({"UPLOADMILL_BROKER_URL": url}).broker_url
    assert "redis_url: not an address that is known" in mistakes(UPLOADMILL_REDIS_URL=url)


def test_a_broker_s_password_has_its_semicolons_escaped():
    # At which kombu would take the address apart
    text = mistakes(UPLOADMILL_BROKER_URL="redis://:sek;ret@here/0")
    assert "broker_url: there can be but one Redis; in a password write" in text
    assert "sek" not in text


def test_a_socket_is_the_ledger_alone():
    given = {"UPLOADMILL_REDIS_URL": "unix:///run/redis.sock?db=1"}
    assert "1 mistake(s):\n  - broker_url: not an address that is known" in mistakes(**given)
    settings = Settings.load({**given, "UPLOADMILL_BROKER_URL": "amqp://here//"})
    assert given["UPLOADMILL_REDIS_URL"] == settings.redis_url


@pytest.mark.parametrize("address", ["tcp://h:3310", "tcp://[::1]:3310", "unix:///run/a@b/clamd"])
def test_clamd_listens_at_a_socket_or_a_port(address):
    assert address == Settings.load({"UPLOADMILL_SCANNER__ADDRESS": address}).scanner.address


@pytest.mark.parametrize(
    "address",
    [
        "clamd",
        "tcp://h",
        "tcp://:3310",
        "tcp://h:65536",
        "tcp://h:clamd",
        "tcp://[h]:3310",
        "unix://",
        "unix://here",
    ],
)
def test_other_addresses_of_clamd_are_refused(address):
    assert "scanner.address: " in mistakes(UPLOADMILL_SCANNER__ADDRESS=address)


def test_variables_of_others_are_not_ours():
    assert Settings.load({"UPLOADMILLER": "x", "PATH": "y"}) == Settings.load({})


@pytest.mark.parametrize(
    "url", ["s3://key:topsecret@bucket", "gs://topsecret@host", "s3://a:topsecret@b/c"]
)
def test_credentials_in_a_url_are_refused_and_not_repeated(url):
    text = mistakes(UPLOADMILL_PRIMARY__URL=url)
    assert "credentials do not belong in a URL" in text
    assert "topsecret" not in text


def test_half_a_pair_of_credentials_is_a_mistake():
    assert "go together" in mistakes(
        UPLOADMILL_PRIMARY__URL="s3://b", UPLOADMILL_PRIMARY__ACCESS_KEY="a"
    )


def test_a_secret_is_never_shown():
    settings = Settings.load(
        {
            "UPLOADMILL_PRIMARY__URL": "s3://b",
            "UPLOADMILL_PRIMARY__ACCESS_KEY": "me",
            "UPLOADMILL_PRIMARY__SECRET_KEY": "topsecret",
        }
    )
    assert "topsecret" not in repr(settings) + settings.model_dump_json()
    assert settings.primary.secret_key is not None
    assert "topsecret" == settings.primary.secret_key.get_secret_value()


def test_settings_cannot_be_changed():
    with pytest.raises(ValueError, match="frozen"):
        Settings.load({}).prefix = "b"  # type: ignore[misc]


@pytest.mark.parametrize(
    ("low", "high"),
    [
        ("stage_fresh", "stage_grace"),
        ("deadline", "workspace_max"),
        ("workspace_max", "tombstone_keep"),
        ("result_ttl", "tombstone_keep"),
        ("keep_failed", "tombstone_keep"),
        ("keep_rejected", "tombstone_keep"),
    ],
)
def test_times_that_the_protocol_rests_on_must_be_in_order(low, high):
    at = getattr(Settings.load({}).ledger, high)
    text = mistakes(**{f"UPLOADMILL_LEDGER__{low.upper()}": str(at)})
    assert f"{low} ({at:g} s) must be below {high} ({at:g} s)" in text


def test_a_pipeline_of_ones_own_stands_beside_the_shipped_ones():
    own = {"receipts": {"steps": ["validate", {"step": "resize", "small": "64x64"}]}}
    settings = Settings.load({"UPLOADMILL_PIPELINES": json.dumps(own)})
    first, second = settings.steps_of("receipts")
    assert ("validate", {}) == (first.name, first.options)
    assert ("resize", {"small": "64x64"}) == (second.name, second.options)
    with pytest.raises(UnknownPipeline, match="avatar, document, photo, receipts"):
        settings.steps_of("reciepts")


@pytest.mark.parametrize(
    ("role", "allowed", "problem"),
    [
        ("STAGING", ["jpg"], "staging.allowed_extensions: what lies there has no extension"),
        ("QUARANTINE", ["jpg"], "quarantine.allowed_extensions: what lies there has no"),
        ("PRIMARY", ["jpg"], "primary.allowed_extensions: add json"),
        ("SECONDARY", [".JPG"], "secondary.allowed_extensions: add json"),
    ],
)
def test_extensions_that_uploadmill_needs_cannot_be_forbidden(role, allowed, problem):
    variables = {f"UPLOADMILL_{role}__ALLOWED_EXTENSIONS": json.dumps(allowed)}
    variables[f"UPLOADMILL_{role}__URL"] = "memory:"

    with pytest.raises(InvalidSettings) as caught:
        Settings.load(variables)

    assert problem in str(caught.value)


def test_limits_of_an_output_store_come_from_the_settings():
    variables = {
        "UPLOADMILL_PRIMARY__URL": "memory:",
        "UPLOADMILL_PRIMARY__ALLOWED_EXTENSIONS": '["jpg", "json"]',
        "UPLOADMILL_PRIMARY__MAX_FILE_SIZE": "1000",
    }

    primary = Settings.load(variables).primary

    assert (("jpg", "json"), 1000) == (primary.allowed_extensions, primary.max_file_size)
