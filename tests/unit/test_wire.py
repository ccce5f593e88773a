"""Broker options as plain data, chosen by the broker's address alone."""

import pytest

from uploadmill.wire import is_redis, producer_options, queue_arguments, worker_options

REDIS = ("redis://h/0", "rediss://h/0", "unix:///run/redis.sock", "redis+socket:///run/redis.sock")
RABBITMQ = ("amqp://h//", "amqps://h//", "pyamqp://h//")


@pytest.mark.parametrize("url", REDIS)
def test_redis_gets_a_plain_list_and_timeouts(url):
    assert is_redis(url)
    assert {} == queue_arguments(url)
    assert 1.0 == producer_options(url)["socket_timeout"]
    assert 60 == worker_options(url, 60)["visibility_timeout"]


@pytest.mark.parametrize("url", RABBITMQ)
def test_rabbitmq_gets_a_quorum_queue_and_confirmations_for_wakes_alone(url):
    assert not is_redis(url)
    assert "quorum" == queue_arguments(url)["x-queue-type"]
    assert producer_options(url)["confirm_publish"]
    assert "confirm_publish" not in worker_options(url, 60)


@pytest.mark.parametrize("url", [*REDIS, *RABBITMQ])
def test_no_producer_waits_without_end(url):
    options = producer_options(url)
    assert 0 < options.get("socket_timeout", options.get("read_timeout")) <= 1
    assert 1 == options["max_retries"]
