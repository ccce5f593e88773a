"""Nodes that work on one ledger: known for a while, and of one mind about the broker."""

from __future__ import annotations

from contextlib import closing
from urllib.parse import urlsplit

import pytest
import redis

from uploadmill.backends.ledger.ledger import Ledger
from uploadmill.backends.ledger.names import AGREED
from uploadmill.errors import InvalidSettings
from uploadmill.settings import Settings
from uploadmill.worker.roster import NODES, Roster, nodes


def settings(url: str, visibility: float = 3600, broker: str = "") -> Settings:
    return Settings.model_validate(
        {"redis_url": url, "broker_url": broker, "worker": {"visibility_timeout": visibility}}
    )


@pytest.fixture
def ledger(redis_url):
    with closing(Ledger(redis_url, settings(redis_url).ledger)) as ledger:
        yield ledger


def test_the_nodes_with_workers_are_known_until_they_fall_silent(ledger, redis_url):
    roster = Roster(ledger, settings(redis_url))
    roster.say("one")
    roster.say("two")
    assert {"one", "two"} == set(nodes(ledger))

    ledger.redis.hset(NODES, "one", f"{int(ledger.redis.time()[0]) - 31} elsewhere")
    assert {"two"} == set(nodes(ledger))
    assert not ledger.redis.hexists(NODES, "one")


def test_a_worker_with_another_visibility_timeout_is_refused(ledger, redis_url):
    Roster(ledger, settings(redis_url)).agree()
    Roster(ledger, settings(redis_url, 3600.0)).agree()

    with pytest.raises(InvalidSettings) as refused:
        Roster(ledger, settings(redis_url, 7200)).agree()

    assert "worker.visibility_timeout is 7200 s here and 3600 s in another" in str(refused.value)


@pytest.fixture
def account(ledger):
    """One with which Redis lets in who names it."""
    ledger.redis.acl_setuser(
        "account", enabled=True, passwords=["+s3cret"], keys=["*"], categories=["+@all"]
    )
    yield "account:s3cret@"
    ledger.redis.acl_deluser("account")


@pytest.mark.parametrize(
    "spelt",
    [
        "redis://localhost:{port}/0",
        "redis://127.0.0.1:{port}/",
        "redis://127.0.0.1:{port}",
        "redis://{account}127.0.0.1:{port}/0?socket_timeout=9",
    ],
)
def test_it_does_not_matter_how_the_address_of_the_broker_is_spelt(
    ledger, redis_url, account, spelt
):
    Roster(ledger, settings(redis_url)).agree()
    same = spelt.format(port=urlsplit(redis_url).port, account=account)

    for way in (Roster.agree, Roster.compare):
        with pytest.raises(InvalidSettings) as refused:
            way(Roster(ledger, settings(redis_url, 7200, broker=same)))
        assert "s3cret" not in str(refused.value)


def test_workers_on_another_database_may_differ(ledger, redis_url):
    Roster(ledger, settings(redis_url)).agree()
    Roster(ledger, settings(redis_url, 7200, broker=redis_url.replace("/0", "/1"))).agree()


def test_workers_with_ledgers_of_their_own_on_one_broker_are_of_one_mind(ledger, redis_url):
    Roster(ledger, settings(redis_url)).agree()
    with closing(Ledger(redis_url.replace("/0", "/2"), ledger.constants)) as another:
        with pytest.raises(InvalidSettings):
            Roster(another, settings(redis_url, 7200)).agree()
        assert [] == another.redis.keys(AGREED + "*")


def test_on_rabbitmq_the_timeout_means_nothing(ledger, redis_url):
    for visibility in (3600, 7200):
        roster = Roster(ledger, settings(redis_url, visibility, broker="amqp://127.0.0.1//"))
        roster.agree()
        assert roster.compare()


def test_what_nobody_says_any_more_does_not_hold(ledger, redis_url):
    Roster(ledger, settings(redis_url)).agree()
    (name,) = ledger.redis.keys(AGREED + "*")
    assert 25 < ledger.redis.ttl(name) <= 30


def test_who_compares_says_nothing(ledger, redis_url):
    assert not Roster(ledger, settings(redis_url)).compare()
    with redis.Redis.from_url(redis_url) as client:
        assert [] == client.keys(AGREED + "*")
    Roster(ledger, settings(redis_url)).agree()
    assert Roster(ledger, settings(redis_url)).compare()
    with pytest.raises(InvalidSettings):
        Roster(ledger, settings(redis_url, 7200)).compare()
