"""Events of steps, as Celery's own receiver and state (which Flower is made of) see them."""

from __future__ import annotations

import socket
import threading
import time
from contextlib import contextmanager

import pytest
from celery import Celery
from celery.events.state import State
from services.waiting import eventually

from uploadmill.wire import worker_options
from uploadmill.worker.events import BUFFER, BufferedEvents

JOB = "0190d7a0-0000-7000-8000-000000000001"
WORKER = "w1@node"


def celery(broker: str) -> Celery:
    app = Celery("test", set_as_current=False, backend="disabled://")
    app.conf.update(
        broker_read_url=broker,
        broker_write_url=broker,
        broker_transport_options=worker_options(broker, 3600),
    )
    return app


@pytest.fixture
def app(redis_url):
    app = celery(redis_url)
    yield app
    app.close()


@pytest.fixture
def seen(app):
    """Celery's state of tasks and workers, fed by what arrives."""
    with listening(app) as state:
        yield state


@contextmanager
def listening(app):
    state = State()
    with app.connection_for_read() as connection:
        receiver = app.events.Receiver(connection, handlers={"*": state.event})
        taking = receiver.consume(limit=None, wakeup=False, safety_interval=0.1)
        thread = threading.Thread(target=lambda: list(taking))
        thread.start()
        # The first event that comes through says that the receiver listens.
        with app.events.default_dispatcher(hostname="ear@node") as ear:
            assert eventually(lambda: ear.send("worker-online") or "ear@node" in state.workers)
        yield state
        receiver.should_stop = True
        thread.join(5)


def row(state: State, step: str):
    return state.tasks.get(f"{JOB}.{step}")


def shows(state: State, step: str, how: str) -> bool:
    return eventually(lambda: (task := row(state, step)) is not None and how == task.state)


def test_a_step_is_a_row_that_shows_the_job_id_and_nothing_else(app, seen):
    events = BufferedEvents(app, WORKER)

    events.started(JOB, "resize")
    events.succeeded(JOB, "resize", 0.25)
    events.flush()

    assert shows(seen, "resize", "SUCCESS")
    task = row(seen, "resize")
    assert ("uploadmill.resize", f"('{JOB}',)", "{}") == (task.name, task.args, task.kwargs)
    assert (JOB, JOB) == (task.root_id, task.parent_id)
    assert (0.25, WORKER) == (task.runtime, task.worker.hostname)


def test_a_failed_step_shows_its_code_and_no_traceback(app, seen):
    events = BufferedEvents(app, WORKER)

    events.started(JOB, "scan")
    events.failed(JOB, "scan", "scanner_unavailable")
    events.flush()

    assert shows(seen, "scan", "FAILURE")
    assert ("scanner_unavailable", "") == (row(seen, "scan").exception, row(seen, "scan").traceback)


def test_a_step_that_takes_long_is_shown_while_it_runs(app, seen):
    events = BufferedEvents(app, WORKER)

    events.started(JOB, "scan")

    assert shows(seen, "scan", "STARTED")


@pytest.mark.parametrize(
    ("close", "state"),
    [
        (lambda events: events.was_done(JOB, "resize", 0.1), "SUCCESS"),
        (lambda events: events.was_given_up(JOB, "resize", "poison"), "FAILURE"),
    ],
    ids=["done", "given up"],
)
def test_a_row_that_a_killed_run_left_open_is_closed_by_the_next(app, seen, close, state):
    killed = BufferedEvents(app, "w0@node")
    killed.started(JOB, "resize")
    killed.flush()
    assert shows(seen, "resize", "STARTED")

    events = BufferedEvents(app, WORKER)
    close(events)
    events.flush()

    assert shows(seen, "resize", state)
    assert 1 == len([uuid for uuid in seen.tasks if uuid.startswith(JOB)])


def test_a_step_is_shown_by_a_run_whose_forerunner_could_send_nothing(app, seen):
    events = BufferedEvents(app, WORKER)

    events.was_done(JOB, "pin", 0.1)
    events.flush()

    assert shows(seen, "pin", "SUCCESS")
    assert "uploadmill.pin" == row(seen, "pin").name


def test_a_broker_that_is_out_costs_rows_and_hardly_any_time():
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        port = closed.getsockname()[1]
    events = BufferedEvents(celery(f"redis://127.0.0.1:{port}/0"), WORKER)

    began = time.monotonic()
    for number in range(BUFFER):
        events.started(f"{JOB}-{number}", "pin")
        events.succeeded(f"{JOB}-{number}", "pin", 0.1)
    events.flush()

    assert time.monotonic() - began < 2.0
    assert len(events._dispatcher._group_buffer["task"]) < BUFFER


def test_events_of_an_outage_are_sent_after_it(app, seen, monkeypatch):
    events = BufferedEvents(app, WORKER)
    with monkeypatch.context() as out:
        out.setattr(events._dispatcher, "_publish", refuse)
        events.started(JOB, "pin")
        events.succeeded(JOB, "pin", 0.1)
        events.flush()

    events.flush()

    assert shows(seen, "pin", "SUCCESS")


def refuse(*_args, **_options):
    raise ConnectionError
