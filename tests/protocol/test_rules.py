"""Every way to break a simpler protocol, with the rule that was made against it on and off.

Each sequence is played twice: with the product as it is every promise holds to the end, and with
the rule switched off one of them breaks. The numbers are those of docs/design.md.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import pytest
from protocol.processes import LOST
from protocol.product import Product
from protocol.switched_off import (
    CommitsUnchecked,
    DecidedByTheStoreWrittenTo,
    DecidesBeforeTheCopy,
    DiscardsAllItPut,
    DiscardsWhatIsElsewhere,
    MissingSourceFails,
    NeverHeals,
    ResultFirst,
    accepting_old_bytes,
    key_without_nonce,
    nobody_reconciles,
    outcome_before_envelope,
    replaced,
    short_tombstones,
    trusting,
    undecided,
    withdrawing,
    without_grace,
)
from protocol.watch import Violation
from protocol.workers import Worker
from protocol.world import World, whole_world

from uploadmill.job import JobState

GOOD, OTHER, SICK = b"a good file", b"another good file", b"a VIRUS file"
LEASE = 31.0
HOUR = 3600.0
OUTCOME = "staging.put outcomes/"


def accepted(world: World, content: bytes = GOOD, key: str = "key") -> str:
    producer = world.enqueue(content, key)
    world.finish(producer)
    assert producer.answer is not None, producer.error
    return producer.job_id


def frozen_at(world: World, worker: Worker, at: str) -> Worker:
    """The worker stands before this call until after its lease."""
    world.until(worker, at)
    worker.frozen = True
    world.pass_time(LEASE)
    return worker


def two_results_by_failover(world: World) -> None:
    job = accepted(world)
    world.stores.primary.out = True
    first = frozen_at(world, world.wake(job, 0), "secondary.put media/")
    world.until(first, "ledger.finish")
    world.stores.primary.out = False
    world.finish(world.wake(job, 1))
    world.finish(first)


def stored_then_failed(world: World) -> None:
    job = accepted(world)
    world.copy_redis()
    world.finish(world.wake(job, 0))
    world.put_back()
    world.finish(world.wake(job, 1))


def stored_long_ago_then_failed(world: World) -> None:
    job = accepted(world)
    world.copy_redis()
    world.finish(world.wake(job, 0))
    world.forget_outcome(job)
    world.put_back()
    world.finish(world.wake(job, 1))


def cancelled_and_stored(world: World) -> None:
    job = accepted(world)
    first = frozen_at(world, world.wake(job, 0), OUTCOME)
    world.finish(world.canceller(job))
    world.finish(first)


def rejected_and_stored(world: World) -> None:
    job = accepted(world)
    first = frozen_at(world, world.wake(job, 0), OUTCOME)
    world.overwrite(job, OTHER)
    world.finish(world.wake(job, 1))
    world.finish(first)


def rejection_forgotten(world: World) -> None:
    job = accepted(world, b"BAD file")
    first = world.wake(job, 0)
    world.until(first, "staging.delete envelopes/")
    world.kill(first)
    world.empty_redis()
    world.finish(world.reconciler())
    world.tolerant = True
    world.finish(world.wake(job, 1))


def fenced_worker_deletes_the_result(world: World) -> None:
    for node in world.nodes:
        node.maker = "the same version"
    job = accepted(world)
    first = frozen_at(world, world.wake(job, 0), OUTCOME)
    world.finish(world.wake(job, 1))
    world.finish(first)


def unscanned_bytes(world: World) -> None:
    job = accepted(world, SICK)
    worker = world.wake(job, 0)
    world.until(worker, "run scan")
    [pinned] = worker.node.root.glob("jobs/*/*/pin-*")
    pinned.write_bytes(GOOD)
    world.until(worker, "ledger.complete")
    pinned.write_bytes(SICK)
    world.finish(worker)


def infected_bytes_lost(world: World) -> None:
    job = accepted(world, SICK)
    worker = world.wake(job, 0)
    world.until(worker, "ledger.finish")


def producer_withdraws_an_envelope(world: World) -> None:
    first = world.enqueue(GOOD, "key")
    world.until(first, "ledger.accept")
    second = world.enqueue(GOOD, "key")
    world.until(second, "ledger.accept")
    world.step(first, LOST)
    world.finish(second)
    world.finish(first)
    world.empty_redis()


def second_producer_overwrites_bytes(world: World) -> None:
    job = accepted(world)
    second = world.enqueue(GOOD, "key")
    world.until(second, "staging.put envelopes/")
    world.finish(world.wake(job, 0))


def collected_under_a_slow_producer(world: World) -> None:
    producer = world.enqueue(GOOD, "key")
    world.until(producer, "staging.put envelopes/")
    world.pass_time(25 * HOUR)
    collector = world.collector()
    world.until(collector, "staging.delete uploads/")
    world.finish(producer)
    world.finish(collector)


def collected_under_a_job_that_fails(world: World) -> None:
    job = accepted(world)
    world.pass_time(25 * HOUR)
    collector = world.collector()
    world.until(collector, ("staging.open outcomes/", "done"))
    if collector.alive:
        world.step(collector)
    world.finish(world.wake(job))
    world.finish(collector)


def joiner_trusts_an_envelope(world: World) -> None:
    slow = world.enqueue(GOOD, "key")
    world.until(slow, "staging.put envelopes/")
    world.pass_time(25 * HOUR)
    collector = world.collector()
    world.until(collector, "staging.delete uploads/")
    world.finish(slow)
    world.finish(world.enqueue(GOOD, "key"))
    world.finish(collector)


def poison_for_ever(world: World) -> None:
    job = accepted(world, b"POISON")
    for turn in range(16):
        world.finish(world.wake(job, turn % 2))
        world.kill_node(turn % 2)
        world.pass_time(200)


def poison_for_ever_by_crashes(world: World) -> None:
    job = accepted(world, b"CRASH")
    for turn in range(8):
        world.finish(world.wake(job, turn % 2))
        world.pass_time(200)


def poison_wrongly(world: World) -> None:
    job = accepted(world)
    owner = frozen_at(world, world.wake(job), "ledger.complete")
    for _ in range(8):
        successor = world.wake(job)
        world.step(successor)
        world.finish(owner)
        if not successor.alive:  # somebody is still counted as lost, so it has to wait
            world.pass_time(400)
            successor = world.wake(job)
        owner = frozen_at(world, successor, "ledger.complete")
    world.finish(owner)


def poison_wrongly_by_lost_replies(world: World) -> None:
    job = accepted(world)
    for _ in range(16):
        worker = world.wake(job)
        world.step(worker, LOST)
        world.finish(worker)
        world.pass_time(400)


def stored_on_the_secondary(world: World) -> str:
    job = accepted(world)
    world.stores.primary.out = True
    world.finish(world.wake(job))
    world.stores.primary.out = False
    return job


def healed_half_way(world: World) -> None:
    stored_on_the_secondary(world)
    healer = world.healer()
    world.until(healer, "primary.put media/")
    world.finish(healer)
    world.empty_redis()


def cleared_and_rolled_back(world: World) -> None:
    stored_on_the_secondary(world)
    world.copy_redis()
    world.finish(world.healer())
    world.pass_time(HOUR)
    world.finish(world.healer())
    world.put_back()
    world.watch.look()


def loser_deletes_the_healed_copy(world: World) -> None:
    for node in world.nodes:
        node.maker = "the same version"
    job = accepted(world)
    loser = frozen_at(world, world.wake(job, 0), OUTCOME)
    world.stores.primary.out = True
    world.finish(world.wake(job, 1))
    world.stores.primary.out = False
    world.finish(world.healer())
    world.finish(loser)


def tombstone_gone(world: World) -> None:
    job = accepted(world)
    worker = world.wake(job)
    world.until(worker, "run commit")
    world.kill(worker)
    world.copy_redis()
    world.finish(world.canceller(job))
    world.pass_time(20 * HOUR)
    for _ in range(2):
        world.finish(world.collector())
    world.put_back()
    world.finish(world.wake(job))


def killed_in_its_commit(world: World) -> None:
    job = accepted(world)
    first = world.wake(job, 0)
    world.until(first, OUTCOME)
    world.kill(first)
    world.finish(world.canceller(job))


def killed_in_its_commit_and_begun_anew(world: World) -> None:
    job = accepted(world)
    first = world.wake(job, 0)
    world.until(first, OUTCOME)
    world.kill(first)
    world.pass_time(LEASE)
    second = world.wake(job, 1)
    world.until(second, "run scan")
    world.finish(world.canceller(job))
    world.finish(second)


def lost_tail(world: World) -> None:
    accepted(world)
    world.empty_redis()


@dataclass(frozen=True)
class Case:
    number: str
    sequence: Callable[[World], None]
    breaks: str
    without: Product


#: Nobody is asked whether the bytes are the same ones at each place.
UNBOUND = replaced(
    "complete",
    ("if cert_sha256 ~= r.src_sha256 then", "if false then"),
    ("r.clean_sha256 ~= r.src_sha256", "false"),
)
FORGETFUL = replaced(
    "record", ("'cert', 'clean_sha256')", "'cert', 'clean_sha256', 'lost_tokens')")
)
FORGIVING = replaced("record", ("'cert', 'clean_sha256'", "'cert', 'clean_sha256', 'crash:stamp'"))
WITHOUT_REFUND = replaced("record", ("if kept ~= list then", "if false then"))
CLAIMS_ONCE = replaced("claim", ("if nonce_of(r.token) == nonce then", "if false then"))

NOT_LOOKED_AT = replaced("finish", ("if may_have_left_some() then", "if false then"))
ONLY_WHERE_IT_STANDS = replaced("finish", ("r.commits ~= '' or", "false or"))

CASES = [
    Case("1", two_results_by_failover, "I1", Product(settler=DecidedByTheStoreWrittenTo)),
    Case("2", stored_then_failed, "I1", Product(settler=undecided(JobState.FAILED))),
    Case("2", stored_long_ago_then_failed, "I1", Product(settler=MissingSourceFails)),
    Case("3", cancelled_and_stored, "I1", Product(settler=undecided(JobState.CANCELLED))),
    Case("4", rejected_and_stored, "I1", Product(settler=undecided(JobState.REJECTED))),
    Case("5", rejection_forgotten, "I1", Product(settler=undecided(JobState.REJECTED))),
    Case("6", fenced_worker_deletes_the_result, "I4", Product(settler=DiscardsAllItPut)),
    Case("7", unscanned_bytes, "I3", Product(ledger=UNBOUND, run=CommitsUnchecked)),
    Case("8", infected_bytes_lost, "I5", Product(run=DecidesBeforeTheCopy)),
    Case("9", producer_withdraws_an_envelope, "I7", Product(accept=withdrawing)),
    Case("10", second_producer_overwrites_bytes, "I8", Product(upload_key=key_without_nonce)),
    Case("11", collected_under_a_slow_producer, "I5", Product(accept=accepting_old_bytes)),
    Case("11", collected_under_a_job_that_fails, "I5", Product(unneeded=outcome_before_envelope)),
    Case("12", joiner_trusts_an_envelope, "I5", Product(fresh=trusting)),
    Case("13", poison_for_ever, "I8", Product(ledger=FORGETFUL)),
    Case("13", poison_for_ever_by_crashes, "I8", Product(ledger=FORGIVING)),
    Case("14", poison_wrongly, "I8", Product(ledger=WITHOUT_REFUND)),
    Case("15", poison_wrongly_by_lost_replies, "I8", Product(ledger=CLAIMS_ONCE)),
    Case("16", healed_half_way, "I4", Product(healer=ResultFirst)),
    Case("17", cleared_and_rolled_back, "I4", Product(constants=without_grace)),
    Case("19", tombstone_gone, "I1", Product(constants=short_tombstones)),
    Case("20", lost_tail, "I7", Product(reconcile=nobody_reconciles)),
    Case("21", loser_deletes_the_healed_copy, "I4", Product(settler=DiscardsWhatIsElsewhere)),
    Case("22", killed_in_its_commit, "I6", Product(ledger=NOT_LOOKED_AT)),
    Case("22", killed_in_its_commit_and_begun_anew, "I6", Product(ledger=ONLY_WHERE_IT_STANDS)),
]


@pytest.mark.parametrize("case", CASES, ids=lambda case: f"{case.number}-{case.sequence.__name__}")
def test_a_rule_keeps_its_promise(case, redis_url, tmp_path):
    with whole_world(redis_url, tmp_path / "on") as world:
        case.sequence(world)
        world.drain()

    with whole_world(redis_url, tmp_path / "off", case.without) as world:
        violation = _broken_promise(world, case.sequence)

    assert violation == case.breaks


def test_infected_bytes_whose_workspace_was_cleared_are_pinned_again(redis_url, tmp_path):
    with whole_world(redis_url, tmp_path) as world:
        job = accepted(world, SICK)
        worker = frozen_at(world, world.wake(job), "quarantine.put")
        world.pass_time(2 * LEASE)
        world.finish(world.clearer(0, budget=0))

        world.finish(worker)

        assert world.ledger.read(job).step == "pin"
        world.drain()
        assert world.watch.outcomes[job].state is JobState.QUARANTINED


def test_a_run_behind_the_look_takes_its_outputs_away_itself(redis_url, tmp_path):
    with whole_world(redis_url, tmp_path) as world:
        job = accepted(world)
        run = frozen_at(world, world.wake(job), "primary.put media/")
        world.finish(world.canceller(job))
        world.finish(world.healer())
        world.until(run, OUTCOME)
        world.stores.staging.out = True
        world.until(run, "ledger.release")
        world.stores.staging.out = False
        assert len(world.objects("primary", "media/")) == 1

        world.finish(run)

        assert world.objects("primary", "media/") == []
        world.drain()


def test_what_nobody_heals_is_found(redis_url, tmp_path):
    with whole_world(redis_url, tmp_path, Product(healer=NeverHeals)) as world:
        assert _broken_promise(world, stored_on_the_secondary) == "I6"


def _broken_promise(world: World, sequence: Callable[[World], None]) -> str:
    try:
        sequence(world)
        world.drain()
    except Violation as violation:
        return violation.promise
    return "none"
