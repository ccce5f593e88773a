"""The essential stories with RabbitMQ as broker: nothing is chosen but its address.

With ``BROKER=rabbitmq`` all of them are told so, and these are left out.
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from acceptance import test_faults as faults
from acceptance import test_twice as twice
from acceptance import test_uploads as uploads

from uploadmill.wire import QUEUE
from uploadmill.worker.embedded.eicar import eicar
from uploadmill.worker.embedded.environment import Environment


@pytest.fixture
def environment(servers, rabbitmq) -> Iterator[Environment]:
    rabbitmq.delete(QUEUE)
    with servers(UPLOADMILL_BROKER_URL=rabbitmq.url) as environment:
        yield environment


def test_uploads_good_bad_and_infected_end_as_they_should(mill):
    mill.start(concurrency=2)
    uploads.test_a_result_says_all_that_was_done(mill)
    uploads.test_a_document_is_stored_as_it_was(mill)
    uploads.test_an_infected_upload_is_quarantined_and_never_seen_in_a_store(
        mill, eicar(), "document"
    )
    text = b"This is no picture, whatever its name says.\n" * 20
    uploads.test_bad_content_is_rejected_with_its_reason_and_kept_for_a_day(
        mill, text, "unsupported_media"
    )


def test_a_worker_killed_in_a_step_leaves_one_stored_result(mill):
    faults.test_a_worker_killed_in_a_step_leaves_one_stored_result(mill, "resize")


test_a_worker_told_to_stop_gives_the_job_back_after_the_step_that_runs = (
    faults.test_a_worker_told_to_stop_gives_the_job_back_after_the_step_that_runs
)

test_a_job_that_redis_forgot_is_finished_after_a_restart = (
    faults.test_a_job_that_redis_forgot_is_finished_after_a_restart
)

test_the_same_upload_enqueued_again_is_worked_on_and_stored_once = (
    twice.test_the_same_upload_enqueued_again_is_worked_on_and_stored_once
)
