"""What RabbitMQ alone does to a wake, and what becomes of its job."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from pictures import photograph
from services.mill import TESTS
from services.waiting import eventually

from uploadmill.job import JobState
from uploadmill.wire import DELIVERY_LIMIT, QUEUE
from uploadmill.worker.embedded.environment import Environment


@pytest.fixture
def environment(servers, rabbitmq) -> Iterator[Environment]:
    rabbitmq.delete(QUEUE)
    with servers(UPLOADMILL_BROKER_URL=rabbitmq.url) as environment:
        yield environment


def test_a_worker_goes_on_when_its_queue_was_deleted(mill, rabbitmq):
    mill.start()
    assert JobState.STORED == mill.run(photograph(320, 240)).state
    rabbitmq.delete(QUEUE)
    # The first wake goes nowhere, and its producer says so; the sweeper sends another.
    job = mill.uploads.enqueue(photograph(320, 240), pipeline="photo")
    assert eventually(lambda: JobState.STORED == mill.uploads.status(job.id).state)


def test_a_wake_that_came_back_too_often_is_dropped_and_its_job_stored(mill, rabbitmq):
    job = mill.uploads.enqueue(photograph(320, 240), pipeline="photo")
    came_back = [rabbitmq.give_back(QUEUE) for _ in range(DELIVERY_LIMIT + 1)]
    assert list(range(DELIVERY_LIMIT + 1)) == came_back
    assert rabbitmq.give_back(QUEUE) is None

    mill.start()

    assert JobState.STORED == mill.wait(job.id).state


def test_a_wake_that_kills_whoever_takes_it_is_dropped_before_it_kills_them_all(mill, rabbitmq):
    # Given workers of which none wakes anybody, and a fault that kills each before it claims
    extra = {
        "PYTHONPATH": str(TESTS),
        "FAULT_FOLDER": str(mill.faults),
        "UPLOADMILL_WORKER__SWEEP": "600",
    }
    workers = [
        mill.environment.start_worker(extra, app="services.faulty_app", concurrency=1, ready=False)
        for _ in range(DELIVERY_LIMIT + 2)
    ]
    for worker in workers:
        worker.wait_ready()
    mill.arm("kill_worker process", times=DELIVERY_LIMIT + 2)

    # When one wake is sent
    job = mill.uploads.enqueue(photograph(320, 240), pipeline="photo")

    # Then it goes from one to the next until RabbitMQ drops it
    assert eventually(lambda: 1 == len([worker for worker in workers if worker.running]))
    for worker in workers:
        worker.stop()
    assert 1 == len((mill.faults / "armed").read_text().splitlines())
    assert rabbitmq.give_back(QUEUE) is None

    # And its job, which nobody blames, is stored when a sweeper wakes it
    mill.start()
    assert JobState.STORED == mill.wait(job.id).state
