"""Nodes that work on one ledger: known for a while, and of one mind about the broker."""

from __future__ import annotations

from contextlib import closing

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


def test_credentials_and_options_do_not_make_it_another_database(ledger, redis_url):
    Roster(ledger, settings(redis_url)).agree()
    same = redis_url.replace("redis://", "redis://user:s3cret@") + "?socket_timeout=1"
    other = redis_url.replace("/0", "/1")

    with pytest.raises(InvalidSettings) as refused:
        Roster(ledger, settings(redis_url, 7200, broker=same)).agree()
    assert "s3cret" not in str(refused.value)
    Roster(ledger, settings(redis_url, 7200, broker=other)).agree()


def test_on_rabbitmq_the_timeout_means_nothing(ledger, redis_url):
    for visibility in (3600, 7200):
        Roster(ledger, settings(redis_url, visibility, broker="amqp://127.0.0.1//")).agree()


def test_what_nobody_says_any_more_does_not_hold(ledger, redis_url):
    Roster(ledger, settings(redis_url)).agree()
    (name,) = ledger.redis.keys(AGREED + "*")
    assert 25 < ledger.redis.ttl(name) <= 30
    assert "s3cret" not in name


def test_who_compares_says_nothing(ledger, redis_url):
    Roster(ledger, settings(redis_url)).compare()
    with redis.Redis.from_url(redis_url) as client:
        assert [] == client.keys(AGREED + "*")
    Roster(ledger, settings(redis_url)).agree()
    with pytest.raises(InvalidSettings):
        Roster(ledger, settings(redis_url, 7200)).compare()
