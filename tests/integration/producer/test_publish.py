"""The one message: its form, its manners towards the host, and brokers that do not answer."""

import json
import subprocess
import sys
import threading
import time

import pytest
from services.producers import frozen

from uploadmill.ids import new_job_id
from uploadmill.producer.publish import Publisher
from uploadmill.wire import PROCESS_TASK, QUEUE


@pytest.fixture
def publisher(redis_url):
    publisher = Publisher(redis_url)
    yield publisher
    publisher.close()


def test_the_message_names_the_task_and_the_job_and_nothing_else(publisher, broker):
    job_id = new_job_id()

    assert publisher.publish(job_id)

    message = json.loads(broker.lpop(QUEUE))
    assert message["headers"]["task"] == PROCESS_TASK
    assert message["headers"]["id"] == job_id
    assert message["headers"]["ignore_result"] is True
    assert message["content-type"] == "application/json"
    assert broker.keys("*") == []  # no bindings, no results


def test_a_broker_that_refuses_answers_at_once(refusing_url):
    publisher = Publisher(refusing_url)
    publisher.publish(new_job_id())  # imports Celery

    began = time.monotonic()
    assert not publisher.publish(new_job_id())

    assert time.monotonic() - began < 0.5
    publisher.close()


@pytest.mark.parametrize("warm", [False, True])
def test_a_frozen_broker_costs_two_seconds_at_most_in_any_number_of_threads(
    publisher, valkey, warm
):
    if warm:
        assert publisher.publish(new_job_id())
    answers = []

    def publish():
        answers.append(publisher.publish(new_job_id()))

    threads = [threading.Thread(target=publish) for _ in range(20)]
    with frozen(valkey.pid):
        began = time.monotonic()
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        took = time.monotonic() - began

    assert answers == [False] * 20
    assert took < 2
    assert publisher.publish(new_job_id())  # and it recovers by itself


def test_a_connection_cut_by_the_broker_is_noticed(publisher, broker):
    assert publisher.publish(new_job_id())
    broker.client_kill_filter(_type="normal", skipme=True)

    assert publisher.publish(new_job_id())
    assert broker.llen(QUEUE) == 2


#: A web app with a Celery of its own, configured by all the means there are.
HOST = """
import json, os, sys
import kombu.pools
from celery import Celery, current_app, shared_task
from celery._state import default_app, get_current_app

host = Celery("host", broker="memory://", backend="cache+memory://")
host.conf.task_serializer = "pickle"
host.conf.task_routes = {"*": {"queue": "elsewhere"}}

@shared_task
def a_task():
    pass

def state():
    return {
        "current": get_current_app().main,
        "tasks": sorted(host.tasks),
        "conf": repr(sorted(host.conf.changes.items())),
        "default": repr(default_app),
        "limit": kombu.pools.get_limit(),
        "pools": len(kombu.pools.connections) + len(kombu.pools.producers),
        "broker": host.connection_for_write().as_uri(),
    }

before = state()
from uploadmill.producer.publish import Publisher
publisher = Publisher(sys.argv[1])
sent = publisher.publish("018f0000-0000-7000-8000-000000000000")
publisher.close()
print(json.dumps({"sent": sent, "before": before, "after": state()}))
"""


def test_the_hosts_own_celery_stays_as_it_is(redis_url, broker):
    environ = {
        "CELERY_BROKER_URL": "memory://host",
        "CELERY_RESULT_BACKEND": "no-such-backend://",
        "CELERY_CONFIG_MODULE": "no_such_module",
        "CELERY_LOADER": "default",
    }
    done = subprocess.run(
        [sys.executable, "-c", HOST, redis_url],
        env=environ,
        capture_output=True,
        text=True,
        check=True,
    )

    told = json.loads(done.stdout)
    assert told["sent"]
    assert told["after"] == told["before"]
    message = json.loads(broker.lpop(QUEUE))
    assert message["content-type"] == "application/json"
