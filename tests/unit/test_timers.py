"""The time limits of jobs that are done do not pile up in a worker's event loop."""

from __future__ import annotations

from itertools import islice

from kombu.asynchronous.timer import Timer

from uploadmill.worker.timers import forget_cancelled


def test_what_was_cancelled_is_forgotten_and_the_rest_comes_in_its_order():
    # Given the limits of a thousand jobs, of which all but three are done, in a loop that runs
    timer, struck = Timer(), []
    loop = iter(timer)
    limits = [timer.call_after(-number, struck.append, (number,)) for number in range(1000)]
    for number, limit in enumerate(limits):
        if number not in (7, 500, 901):
            limit.cancel()

    # When the cancelled ones are forgotten
    forget_cancelled(timer)

    # Then the others are there, and strike the oldest first
    assert 3 == len(timer)
    for _, entry in islice(loop, 3):
        entry()
    assert [901, 500, 7] == struck
    assert (None, None) == next(loop)


def test_it_may_be_called_by_the_loop_itself():
    # Given a loop in which forgetting is a timer like any other, before and behind others
    timer, struck = Timer(), []
    loop = iter(timer)
    timer.call_after(-2, struck.append, ("before",))
    timer.call_after(-1, forget_cancelled, (timer,))
    timer.call_after(0, struck.append, ("behind",))
    timer.call_after(1000, struck.append, ("done",)).cancel()

    for _, entry in islice(loop, 3):
        entry()

    assert ["before", "behind"] == struck
    assert 0 == len(timer)
