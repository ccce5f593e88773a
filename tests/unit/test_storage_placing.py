"""The commit's failover: all on the primary, or all on the secondary, and never over others."""

import hashlib

import pytest
from services.told_breaker import ToldBreakers

from uploadmill.backends.storage.attempts import Timing
from uploadmill.backends.storage.memory import MemoryStorage
from uploadmill.backends.storage.placing import Output, place
from uploadmill.errors import IntegrityError, InvalidKey, StorageUnavailable
from uploadmill.job import Placement

PRIMARY, SECONDARY = Placement.PRIMARY, Placement.SECONDARY


def output(name, content=b"bytes"):
    sha256 = hashlib.sha256(content).hexdigest()
    return Output(f"job/{name}", content, "image/png", sha256, len(content), {"job": "1"})


OUTPUTS = [output("one", b"1"), output("two", b"22"), output("three", b"333")]


class Flaky(MemoryStorage):
    """Fails as the test says: each put takes the next error, or none."""

    def __init__(self, name, errors=(), clock=None, seconds=0.0, *, lands=False):
        super().__init__(name)
        self.errors = list(errors)
        self.attempts = 0
        self.clock, self.seconds, self.lands = clock, seconds, lands

    def put(self, *args, **options):
        self.attempts += 1
        error = self.errors.pop(0) if self.errors else None
        if error is None:
            return super().put(*args, **options)
        if self.clock:
            self.clock.now += self.seconds
        if self.lands:
            super().put(*args, **options)
        raise error


class Clock:
    def __init__(self):
        self.now = 0.0
        self.slept = []

    def sleep(self, seconds):
        self.slept.append(seconds)
        self.now += seconds

    @property
    def timing(self):
        return Timing(clock=lambda: self.now, sleep=self.sleep, chance=lambda: 1.0)


def down(*, retry_here=True):
    return StorageUnavailable("x", "down", retry_here)


def keys(store):
    return sorted(stat.key for stat in store.list())


@pytest.fixture
def clock():
    return Clock()


def test_all_go_to_the_primary(clock):
    primary, secondary = Flaky("primary"), Flaky("secondary")

    placed = place(OUTPUTS, primary, secondary, timing=clock.timing)

    assert PRIMARY is placed.role
    assert [output.key for output in OUTPUTS] == list(placed.stats)
    assert [(PRIMARY, output.key) for output in OUTPUTS] == list(placed.put)
    assert ("image/png", {"job": "1"}) == (
        primary.stat("job/one").content_type,
        dict(primary.stat("job/one").metadata),
    )
    assert 0 == secondary.attempts


def test_a_passing_failure_is_outlasted(clock):
    primary, secondary = Flaky("primary", [down(), None, down()]), Flaky("secondary")

    placed = place(OUTPUTS, primary, secondary, timing=clock.timing)

    assert PRIMARY is placed.role
    assert [0.1, 0.4] == clock.slept
    assert 5 == primary.attempts


def test_the_pauses_are_drawn_by_chance():
    clock = Clock()
    timing = Timing(clock=lambda: clock.now, sleep=clock.sleep, chance=lambda: 0.25)

    place(OUTPUTS, Flaky("primary", [down(), down()]), Flaky("secondary"), timing=timing)

    assert [0.025, 0.1] == clock.slept


def test_after_three_attempts_all_go_to_the_secondary(clock):
    primary = Flaky("primary", [None, down(), down(), down()])
    secondary = Flaky("secondary")

    placed = place(OUTPUTS, primary, secondary, timing=clock.timing)

    assert SECONDARY is placed.role
    assert keys(secondary) == sorted(output.key for output in OUTPUTS)
    assert 4 == primary.attempts
    # What went to the primary before, and what may have, is known.
    assert {(PRIMARY, "job/one"), (PRIMARY, "job/two")} | {
        (SECONDARY, output.key) for output in OUTPUTS
    } == set(placed.put)


def test_the_attempts_are_those_of_the_whole_commit(clock):
    primary = Flaky("primary", [down(), None, down(), None, down()])

    placed = place(OUTPUTS, primary, Flaky("secondary"), timing=clock.timing)

    assert SECONDARY is placed.role
    assert 5 == primary.attempts


def test_a_refusal_fails_over_at_once(clock):
    primary, secondary = Flaky("primary", [down(retry_here=False)]), Flaky("secondary")

    placed = place(OUTPUTS, primary, secondary, timing=clock.timing)

    assert SECONDARY is placed.role
    assert 1 == primary.attempts
    assert [] == clock.slept
    assert all(role is SECONDARY for role, _ in placed.put)


def test_a_slow_failure_uses_up_the_patience(clock):
    primary = Flaky("primary", [down()] * 3, clock, seconds=8.0)

    placed = place(OUTPUTS, primary, Flaky("secondary"), timing=clock.timing)

    assert SECONDARY is placed.role
    assert 1 == primary.attempts


def test_slow_successes_do_not_use_up_the_patience(clock):
    class Slow(Flaky):
        def put(self, *args, **options):
            clock.now += 60.0 if not self.errors or self.errors[0] is None else 0.0
            return super().put(*args, **options)

    primary = Slow("primary", [None, down(), None])

    assert PRIMARY is place(OUTPUTS, primary, Flaky("secondary"), timing=clock.timing).role


def test_the_same_bytes_under_the_key_are_fine_and_not_ours(clock):
    primary = Flaky("primary")
    place(OUTPUTS[:1], primary, Flaky("secondary"), timing=clock.timing)

    placed = place(OUTPUTS, primary, Flaky("secondary"), timing=clock.timing)

    assert PRIMARY is placed.role
    assert [(PRIMARY, "job/two"), (PRIMARY, "job/three")] == list(placed.put)


def test_a_put_that_landed_although_it_failed_is_ours(clock):
    primary = Flaky("primary", [down()], lands=True)

    placed = place(OUTPUTS, primary, Flaky("secondary"), timing=clock.timing)

    assert PRIMARY is placed.role
    assert (PRIMARY, "job/one") == placed.put[0]


def test_other_bytes_under_the_key_are_never_overwritten(clock):
    primary, secondary = Flaky("primary"), Flaky("secondary")
    primary.put("job/two", b"others")

    with pytest.raises(IntegrityError, match="other bytes"):
        place(OUTPUTS, primary, secondary, timing=clock.timing)

    assert 6 == primary.stat("job/two").size
    assert [] == keys(secondary)


class WithoutSha256(Flaky):
    """As if others had put everything: no sha256 is known."""

    def stat(self, key):
        from dataclasses import replace  # noqa: PLC0415 (only here)

        return replace(super().stat(key), sha256=None)


@pytest.mark.parametrize(("content", "same"), [(b"1", True), (b"2", False)])
def test_an_object_without_sha256_is_read_and_compared(clock, content, same):
    primary = WithoutSha256("primary")
    primary.put("job/one", content)

    if same:
        assert PRIMARY is place(OUTPUTS, primary, Flaky("x"), timing=clock.timing).role
    else:
        with pytest.raises(IntegrityError):
            place(OUTPUTS, primary, Flaky("x"), timing=clock.timing)


def test_a_source_that_changed_is_no_reason_to_fail_over(clock):
    changed = Output("job/changed", b"changed", "image/png", "0" * 64, 7)
    secondary = Flaky("secondary")

    with pytest.raises(IntegrityError):
        place([changed], Flaky("primary"), secondary, timing=clock.timing)

    assert 0 == secondary.attempts


def test_an_invalid_key_is_no_reason_to_fail_over(clock):
    bad = Output("../x", b"", "image/png", hashlib.sha256().hexdigest(), 0)

    with pytest.raises(InvalidKey):
        place([bad], Flaky("primary"), Flaky("secondary"), timing=clock.timing)


def test_both_down_is_unavailable(clock):
    primary = Flaky("primary", [None, down(), down(), down()])
    secondary = Flaky("secondary", [None, None, down(), down(), down()])

    with pytest.raises(StorageUnavailable):
        place(OUTPUTS, primary, secondary, timing=clock.timing)

    assert ([], []) == (primary.errors, secondary.errors)


def test_an_object_that_vanishes_while_compared_is_put_again(clock):
    class Vanishing(Flaky):
        def stat(self, key):
            self.delete(key)
            return super().stat(key)

    primary = Vanishing("primary")
    primary.put("job/one", b"1")

    placed = place(OUTPUTS, primary, Flaky("secondary"), timing=clock.timing)

    assert PRIMARY is placed.role
    assert b"1" == primary._objects["job/one"].content


def test_a_primary_whose_breaker_is_open_is_not_asked(clock):
    primary, breakers = Flaky("primary"), ToldBreakers(opened=["primary"])

    placed = place(OUTPUTS, primary, Flaky("secondary"), breakers=breakers, timing=clock.timing)

    assert SECONDARY is placed.role
    assert 0 == primary.attempts
    assert [] == clock.slept


def test_both_breakers_open_is_unavailable_at_once(clock):
    primary, secondary = Flaky("primary"), Flaky("secondary")
    breakers = ToldBreakers(opened=["primary", "secondary"])

    with pytest.raises(StorageUnavailable, match="not asked"):
        place(OUTPUTS, primary, secondary, breakers=breakers, timing=clock.timing)

    assert (0, 0, []) == (primary.attempts, secondary.attempts, clock.slept)


def test_a_breaker_that_opens_meanwhile_ends_the_attempts(clock):
    primary, breakers = Flaky("primary", [down(), down(), down()]), ToldBreakers(opens_after=2)

    placed = place(OUTPUTS, primary, Flaky("secondary"), breakers=breakers, timing=clock.timing)

    assert SECONDARY is placed.role
    assert 2 == primary.attempts


def test_the_breaker_hears_of_each_call(clock):
    primary, breakers = Flaky("primary", [None, None, down()]), ToldBreakers()
    primary.put("job/three", b"333")

    place(OUTPUTS, primary, Flaky("secondary"), breakers=breakers, timing=clock.timing)

    assert ["ok", "failed", "ok", "ok"] == breakers("primary").heard


def test_a_source_at_fault_is_not_held_against_the_store(clock):
    changed = Output("job/changed", b"changed", "image/png", "0" * 64, 7)
    breakers = ToldBreakers()

    with pytest.raises(IntegrityError):
        place([changed], Flaky("primary"), Flaky("x"), breakers=breakers, timing=clock.timing)

    assert ["unsure"] == breakers("primary").heard


@pytest.mark.parametrize(("retry_here", "alarms"), [(False, ["store_broken"]), (True, [])])
def test_a_broken_store_raises_an_alarm(clock, caplog, retry_here, alarms):
    primary = Flaky("primary", [down(retry_here=retry_here)] * 3)

    place(OUTPUTS, primary, Flaky("secondary"), timing=clock.timing)

    assert alarms == [each.message for each in caplog.records if each.levelname == "ERROR"]
    assert "failed_over" == caplog.records[-1].message
