"""The sweeper on a real ledger and a real queue: it wakes what needs it, and little else."""

from __future__ import annotations

import json
import threading
import time
from collections import Counter
from contextlib import closing

import pytest
import redis
from services.timed_ledger import (
    NODE,
    OTHER_NODE,
    accepted,
    brought_to,
    claimed,
    decided,
    finished,
    handed_in,
)
from services.waiting import eventually

from uploadmill.backends.ledger import proposals
from uploadmill.backends.ledger.answers import Answer, Go
from uploadmill.backends.ledger.ledger import Ledger
from uploadmill.ids import new_nonce
from uploadmill.job import ErrorData, JobState
from uploadmill.producer.publish import Publisher
from uploadmill.settings import LedgerSettings
from uploadmill.wire import QUEUE
from uploadmill.worker.backlog import BacklogUnknown, RedisBacklog, backlog_of
from uploadmill.worker.sweeper import LIMIT, Sweeper

MANY = 10_000

OUT = ErrorData(code="storage_unavailable", message="primary: out", retryable=True)


@pytest.fixture
def broker(redis_url):
    with redis.Redis.from_url(redis_url) as client:
        yield client


def send(broker, *job_ids: str) -> None:
    """Publish as kombu does, without what the sweeper does not look at."""
    broker.lpush(QUEUE, *(json.dumps({"headers": {"id": job_id}}) for job_id in job_ids))


class BlindBacklog:
    """The sweeper of old: it takes every queue for empty."""

    def heads(self):
        return []

    def close(self):
        pass


class LongBacklog(RedisBacklog):
    """What AMQP shows of a queue: whether it is empty."""

    def heads(self):
        return None if super().heads() else []


def work_off(
    redis_url, broker, backlog, *, many: int = MANY, lose: int = 0
) -> tuple[int, Counter[str]]:
    """Many jobs wait, two workers' sweepers look on, a consumer takes one after another.

    Returns how often somebody claimed a job, and how often each was woken again.
    """
    constants = LedgerSettings(publish_grace=0.5, lease=600)
    woken: Counter[str] = Counter()

    def publish(job_id: str) -> bool:
        woken[job_id] += 1
        send(broker, job_id)
        return True

    with closing(Ledger(redis_url, constants)) as ledger:
        jobs = [accepted(ledger).id for _ in range(many)]
        send(broker, *jobs[lose:])
        sweepers = [
            Sweeper(Ledger(redis_url, constants), backlog(redis_url), publish, 0.1)
            for _ in range(2)
        ]
        for sweeper in sweepers:
            sweeper.start()
        taken = 0
        idle = time.monotonic()
        while taken < many and time.monotonic() - idle < 5:
            message = broker.rpop(QUEUE)
            if message is None:
                time.sleep(0.01)
                continue
            idle = time.monotonic()
            go = ledger.claim(json.loads(message)["headers"]["id"], NODE, new_nonce())
            taken += isinstance(go, Go)
        for sweeper in sweepers:
            sweeper.stop()
    return taken, woken


@pytest.mark.parametrize(("backlog", "many"), [(RedisBacklog, MANY), (LongBacklog, MANY // 5)])
@pytest.mark.usefixtures("unmeasured")
def test_thousands_of_waiting_jobs_are_hardly_woken_again(redis_url, broker, backlog, many):
    taken, woken = work_off(redis_url, broker, backlog, many=many)
    assert many == taken
    assert woken.total() < many / 100


def test_lost_messages_are_found_in_a_long_queue_too(redis_url, broker):
    many, lost = 2000, 50
    taken, woken = work_off(redis_url, broker, RedisBacklog, many=many, lose=lost)
    assert many == taken
    assert lost <= woken.total() < lost + many / 100


def test_a_sweeper_that_does_not_look_into_the_queue_fails_these_tests(redis_url, broker):
    many = 2000
    _, woken = work_off(redis_url, broker, lambda _: BlindBacklog(), many=many)
    assert woken.total() > many / 100


def test_the_head_of_the_queue_is_read_as_the_producer_writes_it(redis_url):
    publisher = Publisher(redis_url)
    with closing(backlog_of(redis_url)) as backlog:
        assert [] == backlog.heads()
        for number in range(30):
            publisher.publish(f"job-{number}")
        assert [f"job-{number}" for number in range(20)] == backlog.heads()
    publisher.close()


def test_rabbitmq_tells_whether_something_waits_and_not_what(rabbitmq):
    rabbitmq.delete(QUEUE)
    publisher = Publisher(rabbitmq.url)
    with closing(backlog_of(rabbitmq.url)) as backlog:
        assert [] == backlog.heads()  # nobody has declared it
        assert publisher.publish("job-1")
        assert eventually(lambda: backlog.heads() is None)
        rabbitmq.take(QUEUE)
        assert eventually(lambda: backlog.heads() == [])
    publisher.close()


def test_messages_that_nobody_understands_are_a_queue_nobody_can_see(redis_url, broker):
    broker.lpush(QUEUE, "no JSON", json.dumps({"headers": None}), json.dumps(["x"]))
    with closing(RedisBacklog(redis_url)) as backlog:
        assert backlog.heads() is None


def test_a_broker_that_is_out_is_no_empty_queue():
    with closing(RedisBacklog("redis://127.0.0.1:1/0")) as backlog, pytest.raises(BacklogUnknown):
        backlog.heads()
    with pytest.raises(BacklogUnknown):
        backlog_of("amqp://127.0.0.1:1//").heads()


def test_a_job_whose_wake_still_waits_needs_no_other(ledger):
    first = accepted(ledger)
    ledger.pass_time(5)
    second = accepted(ledger)
    ledger.pass_time(20)

    # The first one's message is still at the head: neither is woken
    assert [] == ledger.due(10, heads=[first.id])
    # Then the second one's: the first one's must be lost
    ledger.pass_time(60)
    assert [first.id] == ledger.due(10, heads=[second.id])


def test_a_job_that_was_claimed_has_no_wake_in_the_queue(ledger):
    waiting = accepted(ledger)
    ledger.pass_time(2)
    job = accepted(ledger)
    claimed(ledger, job)
    ledger.pass_time(31)  # its lease ran out

    assert [job.id] == ledger.due(10, heads=[waiting.id])
    # This wake waits now, until the queue is past it
    ledger.pass_time(25)
    assert [] == ledger.due(10, heads=[waiting.id])
    ledger.pass_time(60)
    assert {waiting.id, job.id} == set(ledger.due(10))


def test_a_wake_that_was_told_to_wait_is_not_waited_for(ledger):
    waiting = accepted(ledger)
    job = accepted(ledger)
    for _ in range(2):  # two leases in a row that nobody gave back
        claimed(ledger, job)
        ledger.pass_time(31)
    assert [job.id] == ledger.due(10, heads=[waiting.id])
    assert Answer("wait") == ledger.claim(job.id, NODE, new_nonce())
    ledger.pass_time(60)
    assert [job.id] == ledger.due(10, heads=[waiting.id])


def test_the_heads_of_ended_and_unknown_jobs_tell_nothing(ledger):
    first = accepted(ledger)
    ledger.pass_time(5)
    second = accepted(ledger)
    ledger.pass_time(60)
    assert [first.id] == ledger.due(10, heads=["nobody", second.id])


def test_in_a_queue_that_shows_nothing_a_wake_counts_as_lost_after_ten_minutes(ledger):
    job = accepted(ledger)
    ledger.pass_time(300)
    assert [] == ledger.due(10, heads=None)
    ledger.pass_time(601)
    assert [job.id] == ledger.due(10, heads=None)


def test_in_such_a_queue_claims_tell_how_far_it_has_come(ledger):
    # Given ten minutes' worth of jobs, of which every thirtieth lost its wake
    jobs = []
    for _ in range(300):
        jobs.append(accepted(ledger))
        ledger.pass_time(2)
    lost = {job.id: number for number, job in enumerate(jobs) if number % 30 == 0}

    # When one after another is taken, which takes twenty minutes
    woken: dict[str, int] = {}
    for number, job in enumerate(jobs):
        if job.id not in lost:
            claimed(ledger, job)
            finished(ledger, job)
            ledger.pass_time(4)
            woken |= dict.fromkeys(ledger.due(200, heads=None), number)

    # Then those alone are woken, each within a minute and a bit after the queue was past it
    assert list(lost) == list(woken)
    assert max(woken[job_id] - lost[job_id] for job_id in lost) * 4 <= 70


def test_who_was_woken_twice_does_not_tell_how_far_the_queue_has_come(ledger):
    twice, waiting = accepted(ledger), accepted(ledger)
    ledger.pass_time(601)
    assert {twice.id, waiting.id} == set(ledger.due(10, heads=None))
    late = accepted(ledger)
    ledger.pass_time(60)

    # Its first message is taken at last; the second ones are behind that of the late one
    claimed(ledger, twice)

    assert [] == ledger.due(10, heads=None)
    claimed(ledger, late)
    ledger.pass_time(10)
    assert [] == ledger.due(10, heads=None)


def test_where_no_new_job_has_been_claimed_for_long_nothing_tells_it(ledger):
    early = accepted(ledger)
    ledger.pass_time(5)
    waiting = accepted(ledger)
    claimed(ledger, early)
    finished(ledger, early)
    ledger.pass_time(594)
    assert [] == ledger.due(10, heads=None)
    ledger.pass_time(60)
    assert [waiting.id] == ledger.due(10, heads=None)


def test_a_job_whose_wakes_are_all_lost_is_woken_once_a_minute(ledger):
    job = accepted(ledger)
    ledger.pass_time(11)
    pauses = []
    for _ in range(6):
        assert [job.id] == ledger.due(10)  # and whoever takes this wake dies with it
        pauses.append(ledger.looked_at_in(job))
        ledger.pass_time(ledger.looked_at_in(job))
    assert [20, 40, 60, 60, 60, 60] == pauses


def test_a_wake_behind_a_long_queue_is_looked_for_once_a_minute(ledger):
    first, job = accepted(ledger), accepted(ledger)
    ledger.pass_time(400)
    assert [] == ledger.due(10, heads=[first.id])
    assert 60 == ledger.looked_at_in(job)
    # The queue has got to the end, and the wake was not in it
    ledger.pass_time(60)
    assert job.id in ledger.due(10)


def test_all_sweepers_together_keep_to_the_rate(ledger):
    jobs = [accepted(ledger).id for _ in range(30)]
    ledger.pass_time(11)
    asked = [ledger.due(12, rate=20) for _ in range(3)]
    assert [12, 8, 0] == [len(due) for due in asked]
    ledger.pass_time(1)
    asked.append(ledger.due(12, rate=20))
    assert sorted(jobs) == sorted(job_id for due in asked for job_id in due)


def test_a_wake_that_the_broker_did_not_take_is_sent_again_in_a_moment(ledger, redis_url):
    jobs = [accepted(ledger).id for _ in range(3)]
    ledger.pass_time(11)
    taken: list[str] = []

    def publish(job_id: str) -> bool:
        taken.append(job_id)
        return len(taken) == 1

    sweeper = Sweeper(ledger, RedisBacklog(redis_url), publish, 1)
    sweeper.sweep()
    assert 2 == len(taken)

    ledger.pass_time(2)
    assert sorted({*jobs} - {taken[0]}) == sorted(ledger.due(10))
    assert "1" == ledger.redis.hget(f"um:job:{taken[1]}", "swept")
    sweeper.backlog.close()


def out(ledger, count: int) -> list:
    """Jobs that met a store that is out, and whose time has come again."""
    jobs = [accepted(ledger) for _ in range(count)]
    for job in jobs:
        go = brought_to(ledger, job, "validate")
        ledger.release(job.id, go.token, delay=5, error=OUT)
    ledger.pass_time(6)
    return jobs


def test_while_a_store_is_out_one_job_probes_it(ledger):
    jobs = out(ledger, 50)
    assert 1 == len(ledger.due(200))
    assert 0 == len(ledger.due(200))
    ledger.pass_time(5)
    # The others are put off, each until another time; of those whose time has come one probes
    for _ in range(20):
        ledger.pass_time(5)
        assert len(ledger.due(200)) <= 1
    assert len({ledger.looked_at_in(job) for job in jobs}) > 25


def goes_on(ledger, job, token: str) -> None:
    handed_in(ledger, job, token, "validate")


def ends(state: JobState, code: str | None = None):
    """The step has run, and what it found ends the job."""

    def end(ledger, job, _token: str) -> None:
        error = ErrorData(code=code, step="validate", message="x") if code else None
        written_down(ledger, proposals.ended_badly(job, state, ledger.constants, error))

    return end


def written_down(ledger, outcome) -> None:
    decision = decided(outcome)
    ledger.finish(outcome, decision.document, decision.digest, outcome.placed)


@pytest.mark.parametrize(
    "gets_through",
    [
        goes_on,
        ends(JobState.REJECTED, "corrupt_upload"),
        ends(JobState.QUARANTINED, "infected_upload"),
        ends(JobState.FAILED, "source_missing"),
    ],
    ids=["goes on", "rejected", "quarantined", "source missing"],
)
def test_when_the_store_is_back_they_all_go_on_and_not_at_once(ledger, gets_through):
    jobs = out(ledger, 50)
    (probe,) = ledger.due(200)
    job = next(job for job in jobs if job.id == probe)
    gets_through(ledger, job, claimed(ledger, job).token)

    woken = []
    for _ in range(45):
        ledger.pass_time(1)
        woken.append(ledger.due(200))

    assert {job.id for job in jobs} - {probe} <= {job_id for due in woken for job_id in due}
    assert max(len(due) for due in woken) < 20


def test_a_job_that_starts_over_has_not_got_over_a_later_steps_outage(ledger):
    jobs = out(ledger, 10)
    assert 1 == len(ledger.due(200))

    # One of them comes to another node, begins anew there, and gets through its first step
    go = claimed(ledger, jobs[0], OTHER_NODE)
    assert "pin" == go.step
    handed_in(ledger, jobs[0], go.token, "pin")

    assert [] == ledger.due(200)
    assert "storage_unavailable" == ledger.field(jobs[0], "error_code")


@pytest.mark.parametrize(
    ("state", "code"),
    [(JobState.CANCELLED, None), (JobState.FAILED, "deadline"), (JobState.FAILED, "poison")],
)
def test_a_job_that_ends_without_its_step_shows_nothing_of_the_outage(ledger, state, code):
    jobs = out(ledger, 10)
    assert 1 == len(ledger.due(200))

    ends(state, code)(ledger, jobs[0], "")

    assert [] == ledger.due(200)


def test_a_job_that_is_rejected_at_another_step_shows_nothing_of_the_outage(ledger):
    jobs = out(ledger, 10)
    assert 1 == len(ledger.due(200))

    go = claimed(ledger, jobs[0], OTHER_NODE)
    assert "pin" == go.step
    ends(JobState.REJECTED, "source_changed")(ledger, jobs[0], go.token)

    assert [] == ledger.due(200)


def test_an_outage_at_one_step_holds_back_nobody_at_another(ledger):
    early = []
    for _ in range(2):
        job = accepted(ledger)
        go = claimed(ledger, job)
        ledger.release(job.id, go.token, delay=5, error=OUT)
        early.append(job.id)
    out(ledger, 10)
    due = ledger.due(200)
    assert {*early} < {*due}
    assert 3 == len(due)


def test_three_releases_make_an_outage_and_fewer_do_not(ledger):
    assert 2 == len([*out(ledger, 2), *ledger.due(0)])
    assert 2 == len(ledger.due(200))


def test_new_jobs_and_those_at_their_deadline_are_not_held_back(ledger):
    late = accepted(ledger)
    go = claimed(ledger, late)
    ledger.release(late.id, go.token, delay=5, error=OUT)
    ledger.redis.hset(f"um:job:{late.id}", "deadline", 0)
    out(ledger, 3)
    fresh = accepted(ledger)
    ledger.pass_time(11)

    due = ledger.due(200)

    assert {late.id, fresh.id} <= set(due)
    assert 3 == len(due)


def test_an_outage_of_one_node_or_of_our_own_making_is_nobody_elses(ledger):
    for code, counted in (("workspace_unavailable", False), ("storage_unavailable", True)):
        error = ErrorData(code=code, message="x", retryable=True)
        for _ in range(4):
            job = accepted(ledger)
            go = claimed(ledger, job)
            ledger.release(job.id, go.token, delay=5, error=error, counted=counted)
    ledger.pass_time(20)
    assert 8 == len(ledger.due(200))


def test_many_sweepers_wake_each_job_once(redis_url):
    constants = LedgerSettings(publish_grace=0)
    woken: Counter[str] = Counter()
    with closing(Ledger(redis_url, constants)) as ledger:
        jobs = [accepted(ledger).id for _ in range(150)]

        def sweep() -> None:
            with closing(Ledger(redis_url, constants)) as own:
                woken.update(own.due(LIMIT, rate=LIMIT))

        threads = [threading.Thread(target=sweep) for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert dict.fromkeys(jobs, 1) == dict(woken)


def test_another_nodes_worker_takes_what_was_woken(ledger):
    job = accepted(ledger)
    brought_to(ledger, job, "validate")
    ledger.pass_time(31)
    assert [job.id] == ledger.due(10)
    assert "pin" == claimed(ledger, job, OTHER_NODE).step


class Stumbling:
    """A backlog that breaks in a way nobody foresaw, once."""

    def __init__(self):
        self.looks = 0

    def heads(self):
        self.looks += 1
        if self.looks == 1:
            raise ValueError("nobody foresaw this")
        return []

    def close(self):
        pass


def test_a_sweeper_outlives_what_nobody_foresaw(redis_url):
    backlog = Stumbling()
    sweeper = Sweeper(Ledger(redis_url, LedgerSettings()), backlog, lambda _: True, 0.01)
    sweeper.start()

    assert eventually(lambda: backlog.looks > 2)
    assert sweeper.is_alive()
    sweeper.stop()
    assert not sweeper.is_alive()
