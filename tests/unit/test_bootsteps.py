"""What a worker's main process begins and ends beside Celery's own."""

from __future__ import annotations

from types import SimpleNamespace

from kombu.asynchronous.timer import Timer

from uploadmill.worker.bootsteps import LivenessStep, SweeperStep, TimersStep


def worker_with(**settings) -> SimpleNamespace:
    made = SimpleNamespace(worker=SimpleNamespace(**settings))
    return SimpleNamespace(app=SimpleNamespace(settings=made), timer=Timer())


def test_the_liveness_file_is_there_at_once_and_touched_until_the_worker_stops(tmp_path):
    alive = tmp_path / "alive"
    worker = worker_with(liveness_file=alive)
    step = LivenessStep(worker)

    step.start(worker)

    assert alive.exists()
    assert 1 == len(worker.timer)
    step.stop(worker)
    assert worker.timer.queue[0].entry.canceled


def test_without_a_liveness_file_nothing_is_touched():
    worker = worker_with(liveness_file=None)
    step = LivenessStep(worker)
    step.start(worker)
    step.terminate(worker)
    assert 0 == len(worker.timer)


def test_time_limits_of_jobs_that_are_done_are_forgotten_now_and_then():
    worker = worker_with()
    step = TimersStep(worker)
    step.start(worker)
    worker.timer.call_after(990, print).cancel()
    assert 2 == len(worker.timer)

    worker.timer.apply_entry(worker.timer.queue[0].entry)

    assert {False} == {event.entry.canceled for event in worker.timer.queue}
    step.stop(worker)
    assert {True} == {event.entry.canceled for event in worker.timer.queue}


def test_the_sweepers_connections_are_given_back_when_it_stops():
    ended = []
    step = SweeperStep(worker_with())
    step.sweeper = SimpleNamespace(stop=lambda: ended.append("sweeper"))
    step.publisher = SimpleNamespace(close=lambda: ended.append("publisher"))
    step.terminate(None)
    assert ["sweeper", "publisher"] == ended
