"""The same upload enqueued again, while its job runs and after that has ended."""

from __future__ import annotations

from pictures import photograph
from services.mill import STEADY, named_by
from services.waiting import eventually

from uploadmill.ids import new_nonce
from uploadmill.job import JobState
from uploadmill.pipeline import SHIPPED, Plan

PLAN = Plan.of("photo", SHIPPED["photo"]).names

#: Each step once; the function of ``optimize`` for each of the three outputs.
ONCE = dict.fromkeys(PLAN, 1) | {"optimize": 3}


def test_the_same_upload_enqueued_again_is_worked_on_and_stored_once(mill):
    # Given a job at work, with a second child free to do it too
    same = {"pipeline": "photo", "idempotency_key": new_nonce(), "owner": "7"}
    picture = photograph(400, 300)
    mill.start(faulty=True, concurrency=2, extra=STEADY)
    mill.hold("resize")
    first = mill.uploads.enqueue(picture, **same)
    assert eventually(lambda: mill.struck)

    # When the same is enqueued again, and a later upload shows that its messages have been taken
    second = mill.uploads.enqueue(picture, **same)
    later = mill.run(b"Taken after them.\n", "document")
    assert JobState.RUNNING == mill.uploads.status(first.id).state
    mill.let_go()
    result = mill.wait(first.id)

    assert first.id == second.id
    assert JobState.STORED == result.state
    assert ONCE == mill.entered_for(first.id)
    assert named_by(result, later) == mill.files("primary")
    assert [] == mill.files("secondary")
    # And of all that was staged only how the two jobs ended is left
    kept = sorted(f"outcomes/{job}.json" for job in (first.id, later.job_id))
    assert eventually(lambda: kept == mill.files("staging"))

    # When it is enqueued once more after its end
    third = mill.uploads.enqueue(picture, **same)

    # Then that is what the web app is told, and only an envelope waits to be cleared away
    assert (first.id, JobState.STORED) == (third.id, third.state)
    assert ONCE == mill.entered_for(first.id)
    assert [f"envelopes/{first.id}.json", *kept] == mill.files("staging")
